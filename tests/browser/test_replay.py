"""A replay in a browser: opened as a file, with every request blocked, moved by hand, by keys and by itself."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import BrowserContext, Page, expect

import neatlab
from tests.browser.conftest import shows, wait_until
from tests.browser.test_craft import grave
from tests.replays import filmed, spoil

pytestmark = pytest.mark.browser
LAST = 12
CAPTIONS = ("weights", "spectrum", "learning", "answers")
PICTURES = "() => [...document.querySelectorAll('#weights canvas')].map(canvas => canvas.toDataURL()).join()"
DRAWN = ("#spectrum-chart .main-svg >> nth=0", "#weights canvas >> nth=0")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of runs whose examples and classes are a stranger's."""
    folder = tmp_path_factory.mktemp("replay")
    runs = [spoil(run) for run in filmed(folder / "runs", steps=LAST)]
    return neatlab.replay(runs, folder / "replay.html").path


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """Every address that the window has asked for, and what it has complained of."""
    return []


@pytest.fixture(scope="module")
def window(same_page: Page, file: Path, asked: list[str]) -> Iterator[Page]:
    same_page.on("request", lambda request: asked.append(request.url))
    same_page.on("pageerror", lambda error: asked.append(str(error)))
    same_page.on("console", lambda message: asked.append(message.text))
    same_page.set_viewport_size({"width": 1280, "height": 720})
    open_file(same_page, file)
    yield same_page
    same_page.emulate_media(reduced_motion="no-preference", color_scheme="light")


def open_file(page: Page, file: Path) -> None:
    """The page, drawn; its policy lets nobody evaluate text, as waiting for a function would."""
    page.goto(file.as_uri())
    for part in DRAWN:
        expect(page.locator(part)).to_be_visible()


def moment(page: Page) -> int:
    return int(page.input_value("#at"))


def test_it_opens_at_the_end_and_every_chart_follows_the_slider(window: Page, file: Path, asked: list[str]) -> None:
    shows(window.locator("#step"), f"step {LAST} of {LAST}", exact=True)
    end = window.evaluate(PICTURES)
    window.locator("#at").fill("4")
    for name, words in zip(CAPTIONS, ("step 4. ", "step 4. ", "at step 4: ", "step 3."), strict=True):
        shows(window.locator(f"#{name}-caption"), words)
    assert window.evaluate(PICTURES) != end
    shows(window.locator("#answers"), "window.pwned = 1")  # as text
    assert window.evaluate("[window.pwned, document.images.length]") == [None, 0]
    assert [url for url in asked if not url.startswith("blob:")] == [file.as_uri()]


def test_it_plays_for_five_seconds_and_can_be_stopped(new_context: Callable[..., BrowserContext], file: Path) -> None:
    page = new_context().new_page()  # the clock is that of its context
    page.clock.install()
    for motion, most in (("no-preference", LAST + 1), ("reduce", 11)):
        page.emulate_media(reduced_motion=motion)  # type: ignore[arg-type]
        open_file(page, file)
        page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 60)  # only `run_for` moves it from here on
        page.evaluate("document.getElementById('at').value = 0")
        page.evaluate("""window.seen = new Set();
          new MutationObserver(() => seen.add(document.getElementById('step').textContent))
            .observe(document.getElementById('step'), { childList: true })""")
        page.click("#play")
        page.clock.run_for(2400)
        page.click("#play")
        halfway = moment(page)
        assert 3 <= halfway <= 9
        page.clock.run_for(2000)
        assert moment(page) == halfway
        page.click("#play")
        page.clock.run_for(5000)
        expect(page.locator("#play-word")).to_have_text("Play")
        assert moment(page) == LAST
        assert 4 <= page.evaluate("seen.size") <= most
        page.clock.resume()


def test_keys_move_it_and_phones_and_both_themes_can_read_it(window: Page) -> None:
    window.evaluate("document.activeElement.blur()")
    for key, at in (("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", LAST)):
        window.keyboard.press(key)
        assert moment(window) == at
    window.keyboard.press("Space")
    wait_until(lambda: moment(window) < LAST)
    window.keyboard.press("Space")
    violations = []
    for theme in ("light", "dark"):
        expect(window.locator("body.dark")).to_have_count(int(theme == "dark"))
        violations += grave(Axe(), window, theme, {})
        for width in (390, 1280):
            window.set_viewport_size({"width": width, "height": 720})
            wait_until(lambda wide=width: window.evaluate("document.documentElement.scrollWidth") == wide)
        window.keyboard.press("t")
    assert not violations, "\n".join(violations)


def test_a_browser_without_scripts_gets_one_sentence(page: Page, file: Path) -> None:
    page.add_init_script("delete window.DecompressionStream")
    page.goto(file.as_uri())
    expect(page.locator("#ancient")).to_contain_text("2023 or later")
    expect(page.locator("#app")).to_be_hidden()

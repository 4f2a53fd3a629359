"""The playground in a browser: opened as a file, with every request blocked."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, Page, expect

from neatlab.dashboard.shared.tour import STOPS
from neatlab.plots.looks import TABLE
from tests.browser.conftest import wait_until
from tests.browser.playground import built
from tests.browser.test_craft import grave

pytestmark = pytest.mark.browser
MAPS = ("weight", "truth", "lora-delta", "neat-delta", "lora-hidden", "neat-hidden")
MOVING = (*MAPS[2:], "spectrum", "error-curve", "loss-curve")
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))"
SMALL = "#examples=64&speed=max"
# While `held` is a list, what the page asks of its worker waits in it; where it is several steps, it is three.
HOLDING = """window.held = null;
window.Worker = class extends Worker {
  postMessage(message) {
    const three = message.steps > 1 ? { ...message, steps: 3, time: Infinity } : message;
    window.held ? window.held.push(() => super.postMessage(three)) : super.postMessage(message);
  }
};"""
RELEASE = "() => { const waiting = held; held = null; waiting.forEach((send) => send()); }"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("playground") / "playground.html"
    path.write_text(built(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """Every address that the window has asked for, and what it has complained of."""
    return []


@pytest.fixture(scope="module")
def window(same_page: Page, file: Path, asked: list[str]) -> Page:
    """A window that no request leaves but the one for the file."""
    same_page.on("request", lambda request: asked.append(request.url))
    same_page.on("pageerror", lambda error: asked.append(str(error)))
    same_page.on("console", lambda message: asked.append(message.text))
    same_page.route(
        "**", lambda route: route.continue_() if route.request.url.startswith(file.parent.as_uri()) else route.abort()
    )
    return same_page


def open_file(page: Page, file: Path, link: str = "") -> Page:
    page.goto("about:blank")
    page.goto(file.as_uri() + link)
    expect(page.locator("#neat-count")).not_to_have_text("–")  # the worker has answered
    return page


def steps(page: Page) -> int:
    return int(page.inner_text("#steps").replace(",", ""))


def pictures(page: Page, names: tuple[str, ...] = MOVING) -> dict[str, str]:
    page.evaluate(FRAMES)
    return {name: page.eval_on_selector(f"#{name}", "canvas => canvas.toDataURL()") for name in names}


def train_to(page: Page, step: int) -> None:
    page.click("#play")
    wait_until(lambda: steps(page) >= step)
    page.click("#play")
    expect(page.locator("#news")).to_contain_text("Paused. Step")  # what was under way has ended


def test_it_opens_from_the_file_system_and_asks_for_nothing(window: Page, file: Path, asked: list[str]) -> None:
    lesson = file.with_name("lesson.html")  # beside it, as in a folder that a class is given
    lesson.write_text(f"<!doctype html><a href='{file.name}#neat.depth=4'>Try it</a>")
    window.goto(lesson.as_uri())
    window.click("a")
    expect(window.locator("#set-neat-depth")).to_have_value("4")
    page = open_file(window, file)
    expect(page.locator("#ancient")).to_have_count(0)
    train_to(page, 5)
    page.select_option("#preset", "loras-home")
    wait_until(lambda: steps(page) >= 1)
    wanted = {file.as_uri(), lesson.as_uri(), f"{file.as_uri()}#neat.depth=4"}
    assert {url for url in asked if not url.startswith(("blob:", "about:"))} <= wanted
    colours = page.evaluate("['lora', 'neat'].map(arm => getComputedStyle(document.body).getPropertyValue('--' + arm))")
    assert [colour.strip() for colour in colours] == [TABLE["lora"][0], TABLE["neat"][0]]


def test_play_moves_every_picture_and_pause_stops_them(window: Page, file: Path) -> None:
    page = open_file(window, file, SMALL)
    still, blank = pictures(page), pictures(page, MAPS)
    assert steps(page) == 0
    train_to(page, 20)
    moved, at = pictures(page), steps(page)
    assert [name for name in MOVING if moved[name] == still[name]] == []
    assert (pictures(page), steps(page)) == (moved, at)
    page.click("#step")
    wait_until(lambda: steps(page) == at + 1)
    page.click("#reset")
    wait_until(lambda: steps(page) == 0)
    assert pictures(page, MAPS) == blank
    assert page.inner_text("#lora-error") == page.inner_text("#neat-error") == "1.00"


def test_what_is_under_way_ends_before_a_pause_is_said_and_a_step_pressed_meanwhile_is_done(
    page: Page, file: Path
) -> None:
    page.add_init_script(HOLDING)
    open_file(page, file, SMALL)
    page.click("#play")
    wait_until(lambda: steps(page) >= 5)
    page.evaluate("held = []")
    page.wait_for_function("() => held.length === 1")  # the page refuses to evaluate text
    at = steps(page)
    page.click("#play")
    page.click("#step")
    page.click("#step")
    page.evaluate(FRAMES)
    assert ("Paused" in page.inner_text("#news"), steps(page)) == (False, at)
    page.evaluate(RELEASE)
    expect(page.locator("#news")).to_contain_text(f"Paused. Step {at + 3 + 2}.")
    assert steps(page) == at + 3 + 2


def test_the_link_holds_what_is_set_and_opens_it_again(window: Page, file: Path) -> None:
    page = open_file(window, file)
    expect(page.locator("#home")).to_have_text(re.compile("NEAT’s home"))
    page.select_option("#set-kind", "low-rank")
    expect(page.locator("#home")).to_have_text(re.compile("LoRA’s home"))
    page.select_option("#set-shape", "256x64")
    page.select_option("#set-neat-activation", "sin")
    page.focus("#set-neat-depth")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.click("#match")
    page.click("#theme")
    link = page.evaluate("location.hash")
    wanted = {"kind=low-rank", "shape=256x64", "neat.activation=sin", "neat.depth=4", "neat.rank=9", "theme=dark"}
    assert set(link.removeprefix("#").split("&")) == wanted
    expect(page.locator("#neat-count")).to_have_text("1,314")  # 2·9·64 + 2·9², of the last setting
    before = pictures(page, MAPS)
    open_file(page, file, link)
    assert page.evaluate("location.hash") == link
    assert pictures(page, MAPS) == before
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.input_value("#set-neat-depth") == "4"
    expect(page.locator("#neat-count")).to_have_text("1,314")
    page.evaluate("location.hash = ''")
    expect(page.locator("#set-kind")).to_have_value("weight-aware")


HOSTILE = {
    "neat.depth=99": "2 to 6",
    "neat.depth=2.5": "2 to 6",
    "lora.rank=-1": "1 to 32",
    "lora.rate=1e999": "0.0001 to 1",
    "lora.rate=NaN": "0.0001 to 1",
    "noise=Infinity": "0 to 2",
    "examples=0x40": "16 to 4000",
    "kind=<img src=x onerror=window.pwned=1>": "weight-aware, low-rank, full-rank",
    "kind=toString": "weight-aware",
    "shape=4096x4096": "96x32",
    "__proto__=1": "no setting",
    "constructor=1": "no setting",
    "<script>window.pwned=1</script>=1": "no setting",
    "javascript:window.pwned=1": "no setting",
    "%E0%A4%A=%": "no setting",
    "tour=9": "1 to 7",
    "embed=everything": "none, train, weights",
    "seed=" + "9" * 100_000: "0 to 99",
}


def test_a_hostile_link_sets_nothing_and_is_said_to_be_wrong(window: Page, file: Path) -> None:
    page = open_file(window, file)
    for link, allowed in HOSTILE.items():
        page.evaluate("location.hash = 'seed=1'")
        expect(page.locator("#message")).to_be_hidden()
        page.evaluate("text => { location.hash = text }", link)
        expect(page.locator("#message")).to_contain_text(allowed)
        assert len(page.inner_text("#message")) < 300, link
        assert page.evaluate("location.hash") == "", link
        assert page.evaluate("[window.pwned, Object.prototype.value, document.images.length]") == [None, None, 0]
    page.evaluate("location.hash = 'kind=low-rank&neat.depth=1'")
    expect(page.locator("#set-kind")).to_have_value("low-rank")
    expect(page.locator("#message")).to_contain_text('neat.depth="1" is not allowed (2 to 6); 2 is taken.')
    page.click("#step")
    wait_until(lambda: steps(page) == 1)


def test_an_arm_that_diverges_says_so_while_the_other_trains_and_can_be_reset(window: Page, file: Path) -> None:
    page = open_file(window, file, f"{SMALL}&neat.rate=1&neat.depth=6&neat.activation=linear&neat.scaling=10")
    page.click("#play")
    stopped = page.locator("#neat-stopped")
    expect(stopped).to_contain_text("Diverged: the loss is")
    at = steps(page)
    wait_until(lambda: steps(page) > at + 5)
    expect(page.locator("#lora-stopped")).to_be_hidden()
    page.click("#reset")
    expect(stopped).to_be_hidden()
    assert page.inner_text("#neat-error") == "1.00"


def test_a_direction_lights_up_in_every_map(window: Page, file: Path) -> None:
    page = open_file(window, file, SMALL)
    train_to(page, 20)
    plain = pictures(page, MAPS)
    page.hover("#spectrum", position={"x": 90, "y": 60})
    expect(page.locator("#direction")).to_contain_text("direction 1 of")
    lit = pictures(page, MAPS)
    assert [name for name in MAPS if lit[name] == plain[name]] == []
    expect(page.locator("#truth-value")).to_contain_text("uᵀMv")
    page.mouse.move(5, 5)
    assert pictures(page, MAPS) == plain
    page.focus("#spectrum")
    for key, name in {"ArrowRight": "1 of LoRA", "ArrowDown": "1 of NEAT", "ArrowLeft": "1 of NEAT"}.items():
        page.keyboard.press(key)
        expect(page.locator("#direction")).to_contain_text(f"direction {name}: σ")
        expect(page.locator("#spectrum")).to_have_attribute("aria-valuetext", page.inner_text("#direction"))
    page.keyboard.press("Escape")
    assert pictures(page, MAPS) == plain


GUESS = "button => { button.click(); return document.getElementById('answer').innerText; }"


def test_a_guess_is_answered_by_a_training(window: Page, file: Path) -> None:
    page = open_file(window, file, "#speed=max")
    for guess, words in (
        ("LoRA", "here it is NEAT."),
        ("LoRA", "Right."),
        ("both alike", "here it is LoRA."),
        ("6", "Right."),
    ):
        assert "Training…" in page.get_by_role("button", name=guess, exact=True).evaluate(GUESS)
        expect(page.locator("#answer")).to_contain_text(words)
        expect(page.locator("#play-word")).to_have_text("Play")
        page.click("#next-card")
    page.evaluate("document.querySelector('#choices button').click(); document.getElementById('reset').click()")
    # Another training: the guess is dropped.
    expect(page.locator("#answer")).to_be_empty()


def test_the_tour_is_taken_by_keyboard_in_the_link_and_skipped(window: Page, file: Path) -> None:
    page = open_file(window, file, f"{SMALL}&kind=low-rank")
    tour, status = page.locator("#tour"), page.locator("#tour").get_by_role("status")
    page.locator("#show-tour").press("Enter")
    expect(tour.get_by_role("heading", name=STOPS[0].title)).to_be_focused()
    tour.get_by_role("button", name=STOPS[0].right, exact=True).press("Enter")
    expect(status).to_have_text(f"You predicted: {STOPS[0].right}. {STOPS[0].playground.do}")
    tour.get_by_role("button", name="Open NEAT's home").press("Enter")
    expect(page.locator("#set-kind")).to_have_value("weight-aware")
    tour.get_by_role("button", name="Show me where").press("Enter")
    expect(page.locator("#step")).to_be_focused()
    page.keyboard.press("Enter")
    wait_until(lambda: steps(page) == 1)
    tour.get_by_role("button", name="Reveal").press("Enter")
    expect(status).to_contain_text("Right.")
    for _ in STOPS[1:]:
        tour.get_by_role("button", name="Next").press("Enter")
    assert page.evaluate("location.hash") == "#speed=max&tour=7"
    for _ in STOPS[1:]:
        tour.get_by_role("button", name="Back").press("Enter")
    assert page.evaluate("location.hash") == "#speed=max&tour=1"
    page.reload()
    expect(status).to_contain_text(f"You predicted: {STOPS[0].right}.")
    violations = grave(Axe(), page, "light", {})
    page.keyboard.press("Escape")
    expect(tour).to_be_hidden()
    expect(page.locator("#show-tour")).to_be_focused()
    assert page.evaluate("location.hash") == "#speed=max"
    assert violations == []


def test_what_is_copied_twice_is_said_once(window: Page, file: Path) -> None:
    page = open_file(window, file)
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    page.click("#copy")
    page.evaluate("new Promise(later => setTimeout(later, 2000))")  # timers end in the order of their times
    expect(page.locator("#copy")).to_have_text("Copy link")
    assert page.evaluate("window.copied") == file.as_uri()


PARTS = {"train": ".maps, #spectrum, .scores", "weights": ".maps", "spectrum": "#spectrum", "learning": "#error-curve"}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_stands_in_a_lesson_that_is_opened_from_the_file_system(window: Page, file: Path, part: str) -> None:
    page = open_file(window, file, f"{SMALL}&kind=low-rank&theme=dark")
    page.click("#show-frame")
    page.select_option("#frame-part", part)
    page.focus("#copy-frame")
    page.keyboard.press("t")  # the page's keys are for the page
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    violations = grave(Axe(), page, "dark", {})
    frame = page.input_value("#frame-code")
    lesson = file.with_name("lesson.html")
    lesson.write_text(f"<!doctype html><title>Lesson</title><body style='width:720px'><h1>Lesson</h1>{frame}")
    page.goto(lesson.as_uri())
    inner = page.frame_locator("iframe")
    inner.locator("#play").click()
    expect(inner.locator("#steps")).not_to_have_text("0")
    inner.locator("#play").click()
    shown = inner.locator(PARTS[part])
    assert [shown.nth(i).is_visible() for i in range(shown.count())] == [True] * len(PARTS[part].split(","))
    for hidden in ("#show-frame", ".settings", ".card", "footer", "#numbers"):
        expect(inner.locator(hidden)).to_be_hidden()
    assert page.frames[-1].evaluate("document.documentElement.scrollHeight - innerHeight") == 0
    link = inner.locator("#whole").get_attribute("href") or ""
    assert set(link.partition("#")[2].split("&")) == {*SMALL[1:].split("&"), "kind=low-rank", "theme=dark"}
    assert not violations, "\n".join(violations)


def test_the_keyboard_does_what_the_buttons_do(window: Page, file: Path) -> None:
    page = open_file(window, file, SMALL)
    page.keyboard.press("ArrowRight")
    wait_until(lambda: steps(page) == 1)
    page.keyboard.press("Space")
    wait_until(lambda: steps(page) > 5)
    page.keyboard.press("Space")
    expect(page.locator("#news")).to_contain_text("Paused. Step")
    expect(page.locator("#news")).to_contain_text("NEAT: recovered error")
    page.keyboard.press("r")
    wait_until(lambda: steps(page) == 0)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_axe_finds_nothing_serious_in_either_theme_and_a_phone_has_room(window: Page, file: Path) -> None:
    page, violations = window, []
    for theme in ("light", "dark"):
        open_file(
            page, file, f"{SMALL}&theme={theme}&neat.rate=1&neat.depth=6&neat.activation=linear&neat.scaling=10&oops=1"
        )
        page.click("#numbers summary")
        page.click("#play")
        expect(page.locator("#neat-stopped")).to_be_visible()
        page.click("#play")
        violations += grave(Axe(), page, theme, {})
    for width in (390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate(FRAMES)
        assert page.evaluate("document.documentElement.scrollWidth") == width
    page.set_viewport_size({"width": 1280, "height": 720})
    assert not violations, "\n".join(violations)


CHANGES = """() => new Promise((done) => {
  const times = [];
  new MutationObserver(() => times.push(document.timeline.currentTime) === 3 && done(times)).observe(
    document.getElementById("steps"), { childList: true, characterData: true, subtree: true });
})"""


def test_who_wants_less_motion_sees_two_pictures_a_second(window: Page, file: Path) -> None:
    window.emulate_media(reduced_motion="reduce", color_scheme="dark")
    page = open_file(window, file, SMALL)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.evaluate("document.getElementById('play').click()")
    first, second, third = page.evaluate(CHANGES)
    assert min(second - first, third - second) > 500  # milliseconds
    window.emulate_media(reduced_motion="no-preference", color_scheme="light")


@pytest.fixture
def without_scripts(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(java_script_enabled=False)
    yield context
    context.close()


def test_a_browser_that_is_too_old_gets_one_sentence(page: Page, without_scripts: BrowserContext, file: Path) -> None:
    page.add_init_script("delete window.Worker")
    for window in (page, without_scripts.new_page()):
        window.goto(file.as_uri())
        expect(window.locator("#ancient")).to_contain_text("too old")
        expect(window.locator("#app")).to_be_hidden()

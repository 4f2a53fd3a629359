"""What the page says is so: it follows the training that goes on, pauses when it says so, and catches up."""

import re

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import PATIENCE, App, fill, open_page, says, settle, train, wait_until

pytestmark = pytest.mark.browser
QUICK = "?task=teacher:kind=low-rank&steps=1"


def test_a_reload_during_the_first_training_follows_it(page: Page, app: App) -> None:
    open_page(page, app)  # its form as it is: no other test trains it
    page.click("#step")  # which pauses by itself, however quick the training is
    says(page, "Paused. Step 1 of")
    page.wait_for_url("**steps=*")
    page.reload()
    says(page, "Paused. Step 1 of")
    page.click("#step")
    says(page, "Paused. Step 2 of")
    expect(page.locator("#message-run [role=alert]")).to_have_count(0)
    page.click("#stop")
    says(page, "Stopped.")
    page.click("#train")  # from the beginning, and this too is followed: in its course or at its end
    says(page, re.compile(r"Training\.|Done\."))
    page.reload()
    says(page, re.compile(r"Training\.|Done\."))


def test_a_pause_at_once_ends_in_paused(page: Page, app: App) -> None:
    train(page, app, "?task=digits&steps=5000&seed=80")
    page.click("#pause")
    says(page, "Paused.")
    stood = app.steps(80)
    page.click("#step")
    wait_until(lambda: sum(app.steps(80).values()) >= sum(stood.values()) + 2)
    page.click("#stop")
    says(page, "Stopped.")
    assert app.steps(80) == {arm: stood[arm] + 1 for arm in ("lora:rank=4", "neat:rank=4,depth=2")}


# Of each second the page has a tenth for itself.
SLOW = "slow = setInterval(() => { const end = performance.now() + 900; while (performance.now() < end); }, 1000)"


def test_a_browser_that_is_slow_gets_the_next_update_when_it_has_drawn_the_last(page: Page, app: App) -> None:
    train(page, app, "?task=digits&steps=5000&seed=84")
    says(page, "Training.")
    page.evaluate(SLOW)
    now = app.steps(84)
    with page.expect_request(re.compile("/run/drawn"), timeout=PATIENCE):
        wait_until(lambda: app.steps(84) != now)
    page.click("#stop")  # which would wait for every update that it had not drawn
    says(page, "Stopped.")
    page.evaluate("clearInterval(slow)")


def test_after_a_reset_in_the_middle_the_form_is_as_ever(page: Page, under_way: set[Request], app: App) -> None:
    failed: list[str] = []
    page.on("response", lambda response: failed.append(response.url) if response.status >= 500 else None)
    train(page, app, "?task=digits&steps=5000&seed=81")
    app.wait_for_steps(81, 2)
    says(page, "Training.")
    page.click("#reset")
    fill(page, seed=82)
    page.wait_for_url("**seed=82*")
    settle(page, under_way)
    says(page, "press Train")
    assert not failed


def test_a_window_that_missed_every_update_catches_up(page: Page, under_way: set[Request], app: App) -> None:
    open_page(page, app, f"{QUICK}&seed=83")
    settle(page, under_way)  # a stream that is still open would bring the updates
    page.route("**/queue/data*", lambda route: route.abort())
    with page.expect_event("requestfailed", lambda request: "/queue/data" in request.url):
        page.click("#train")
    wait_until(lambda: [run.status for run in app.stored(83).values()] == ["finished"] * 2)
    page.unroute("**/queue/data*")
    says(page, "Done.")
    expect(page.locator("#summary tbody tr")).to_have_count(2)

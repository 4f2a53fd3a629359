"""The page as a part of another: one chart without chrome, and only where the server allows it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from neatlab.dashboard.links import EMBEDDED
from neatlab.dashboard.train.charts import CHARTS
from tests.browser.conftest import App, says, wait_until

pytestmark = pytest.mark.browser
QUERY = "?task=teacher:kind=low-rank&steps=4&seed=91"
HIDDEN = (".top", ".tab-wrapper", "#tab-train .settings", "footer", "#weights", "#learning")


def test_a_chart_or_the_training_stands_alone_in_its_theme(page: Page, app: App) -> None:
    assert set(EMBEDDED) == {"train", *(row.chart.name for row in CHARTS)}
    page.set_viewport_size({"width": 640, "height": 460})
    page.goto(f"{app.url}{QUERY}&embed=spectrum&__theme=dark")
    expect(page.locator("#train")).to_be_enabled()
    page.click("#train")
    says(page, "Done.")
    expect(page.locator("#spectrum-chart .main-svg").first).to_be_visible()
    expect(page.locator("body.dark")).to_have_count(1)
    for part in HIDDEN:
        expect(page.locator(part).first).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollHeight") <= 460
    assert "embed=spectrum" in page.url
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#spectrum .live-more summary").click()
    page.locator("#spectrum [data-frame=train]").click()
    expect(page.locator("#spectrum [data-frame=train]")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("<iframe ")
    assert "embed=train" in copied and "__theme=dark" in copied
    # Where other pages may show it: this machine's own, and no stranger's.
    with lesson(copied) as port:
        inner = page.frame_locator("iframe")
        page.goto(f"http://localhost:{port}/")
        expect(inner.locator("#spectrum-chart .main-svg").first).to_be_visible()
        expect(inner.locator("#weights")).to_be_visible()
        expect(inner.locator(".top")).to_be_hidden()
        page.goto(f"http://rebound.example:{port}/")
        # Where a frame has gone is told during a call.
        wait_until(lambda: page.evaluate("1") and page.frames[-1].url.startswith("chrome-error:"))


@contextmanager
def lesson(frame: str) -> Iterator[int]:
    """A page of another server with this frame in it; gives its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f"<!doctype html><title>lesson</title>{frame}".encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()

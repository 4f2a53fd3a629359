"""What Gradio keeps of a window is little, and goes with it."""

import asyncio
import sys
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio import blocks, route_utils, state_holder
from gradio.blocks import BlocksConfig
from starlette.types import Message, Receive, Scope, Send

from neatlab.dashboard.doors.sessions import LightSession, forget, keep_little
from neatlab.dashboard.doors.visits import VisitDoor
from neatlab.dashboard.shared.visitors import Visitors
from tests.browser.conftest import App
from tests.doors.window import Window


def small_page() -> tuple[gr.Blocks, gr.Textbox, gr.State]:
    with gr.Blocks(analytics_enabled=False) as page:
        text, state = gr.Textbox("a"), gr.State(1)
    return page, text, state


def test_a_window_is_made_without_describing_the_page_and_has_what_handlers_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page, text, state = small_page()

    def described(*_: Any) -> None:
        pytest.fail("a component was described")

    monkeypatch.setattr(BlocksConfig, "config_for_block", described)
    session = LightSession(page)
    session._update_value_in_config(text._id, "x" * 10**6)
    session._update_config(text._id)
    assert (session[text._id], session[state._id]) == (text, 1)
    assert not session.config_values


def test_gradio_makes_such_windows_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (blocks, route_utils, state_holder):
        monkeypatch.setattr(module, "SessionState", None)
    monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if name != "matplotlib"})
    keep_little()
    assert sys.modules["matplotlib"] is None
    page, _, _ = small_page()
    holder = state_holder.StateHolder()
    holder.set_blocks(page)
    assert isinstance(holder["a"], LightSession)
    plain, _ = route_utils.restore_session_state(
        SimpleNamespace(get_blocks=lambda: page),  # type: ignore[arg-type]
        SimpleNamespace(event_id=None, session_hash=None),  # type: ignore[arg-type]
    )
    assert isinstance(plain, LightSession)


def test_a_window_that_its_visitor_closes_is_forgotten_and_another_visitors_is_not() -> None:
    app = SimpleNamespace(state_holder=SimpleNamespace(session_data=OrderedDict(a=1, b=2), time_last_used={"a": 1}))
    visitors = Visitors()
    visitors.enter("a", "address one")
    visitors.enter("b", "address two")

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    async def none(*_: Message) -> Message:
        return {}

    door = VisitDoor(stream, visitors, lambda window: forget(app, window))  # type: ignore[arg-type]
    for window in ("a", "b", "c"):
        path = f"/gradio_api/heartbeat/{window}"
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "client": ("one", 1)}
        asyncio.run(door(scope, none, none))
    assert (dict(app.state_holder.session_data), app.state_holder.time_last_used) == ({"b": 2}, {})


@pytest.mark.process
def test_links_that_this_page_does_not_make_leave_nothing_on_the_disk(http: httpx.Client, server: App) -> None:
    window = Window(http)
    window.http.post("gradio_api/run/list", json={"data": [], "session_hash": window.session}).raise_for_status()
    name = http.get("gradio_api/deep_link", params={"session_hash": window.session}).raise_for_status().json()
    folder = Path(window.upload("a.txt", b"a")["path"]).parents[1]
    assert (folder / "deep_links" / name / "state.json").read_bytes() == b"[]"

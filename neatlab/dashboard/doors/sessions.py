"""What Gradio keeps of a window: little, and no longer than the window is there.

By itself it describes every component of the page anew for each window and for each plain call, for a kind of link that
this page does not make, and keeps the descriptions of ten thousand windows. That takes longer than most answers, and
no other request is served meanwhile.
"""

import sys
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio import blocks, route_utils, state_holder
from gradio.routes import App
from gradio.state_holder import SessionState

MAX_SESSIONS = 512  # windows of which Gradio keeps something; the one that was used longest ago goes


class LightSession(SessionState):
    """A window's state without descriptions of its components.

    Args:
        page: The page.
    """

    def __init__(self, page: gr.Blocks) -> None:
        super().__init__(SimpleNamespace(default_config=page.default_config, blocks={}))  # type: ignore[arg-type]

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


def keep_little() -> None:
    """Let Gradio make light sessions from now on, and not look for matplotlib on the disk twice a call."""
    sys.modules.setdefault("matplotlib", None)  # type: ignore[arg-type]
    for module in (blocks, route_utils, state_holder):
        vars(module)["SessionState"] = LightSession


def forget(app: App, window: str) -> None:
    """Drop what Gradio keeps of a window that was closed; by itself it waits for an hour.

    Args:
        app: Gradio's app.
        window: Its session hash.
    """
    app.state_holder.session_data.pop(window, None)
    app.state_holder.time_last_used.pop(window, None)

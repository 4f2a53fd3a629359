"""Answers in the order in which a window asked for them."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr

Locks = WeakValueDictionary[str, asyncio.Lock]  # window → its lock, which lasts as long as someone waits


def in_order(handler: Callable[..., Any], locks: Locks | None = None) -> Callable[..., Any]:
    """A handler that answers one request of a window after the other; it still runs in a thread.

    For events of `trigger_mode="always_last"`: Gradio's page reads the fields before it notes that it has asked, so two
    events that come at once are asked at once, and the page would keep the answer that is late, not the newer one.

    Args:
        handler: Not a coroutine function; it may take a `request`.
        locks: Those of the handlers with which it takes turns; its own by default.
    """
    own = Locks() if locks is None else locks
    takes_request = "request" in inspect.signature(handler).parameters

    async def answer(request: gr.Request, *values: Any) -> Any:
        lock = own.setdefault(str(request.session_hash), asyncio.Lock())
        asked = {"request": request} if takes_request else {}
        async with lock:
            return await asyncio.to_thread(handler, *values, **asked)

    return answer

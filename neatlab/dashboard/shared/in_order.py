"""Answers in the order in which a window asked for them."""

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr

HEADER = "x-neatlab-call"  # the number that `calls.js` gives a call
MAX_WINDOWS = 10_000  # of which the newest call is remembered
MAX_DIGITS = 15


class Turns:
    """Whose turn it is among the calls of a window."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # each while someone waits
        self._newest: OrderedDict[str, int] = OrderedDict()

    def lock(self, window: str) -> asyncio.Lock:
        """What a call of this window holds while it is answered."""
        return self._locks.setdefault(window, asyncio.Lock())

    def is_late(self, window: str, call: int) -> bool:
        """Whether a newer call of this window has come before; of calls without a number, 0, none is late.

        Args:
            window: Its session hash.
            call: The call's number.
        """
        newest = max(call, self._newest.pop(window, 0))
        self._newest[window] = newest
        if len(self._newest) > MAX_WINDOWS:
            self._newest.popitem(last=False)
        return 0 < call < newest


def in_order(
    handler: Callable[..., Any], turns: Turns | None = None, late: Callable[[], Any] = gr.skip
) -> Callable[..., Any]:
    """A handler that answers one request of a window after the other, and none after a newer one; still in a thread.

    For events of `trigger_mode="always_last"`: Gradio's page reads the fields before it notes that it has asked, so two
    events that come at once are asked at once, and the page would keep the answer that is late, not the newer one.

    Args:
        handler: Not a coroutine function; it may take a `request`.
        turns: Those of the handlers with which it takes turns; its own by default.
        late: Makes the answer to a call that comes after a newer one.
    """
    own = turns or Turns()
    takes_request = "request" in inspect.signature(handler).parameters

    async def answer(request: gr.Request, *values: Any) -> Any:
        window, asked = str(request.session_hash), {"request": request} if takes_request else {}
        async with own.lock(window):
            if own.is_late(window, _number(request)):
                return late()
            return await asyncio.to_thread(handler, *values, **asked)

    return answer


def _number(request: gr.Request) -> int:
    text = request.headers.get(HEADER, "")
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else 0

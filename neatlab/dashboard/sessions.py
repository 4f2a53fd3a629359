"""What the server keeps of a browser window while it is open: which runs it shows, and its stop flag."""

import threading
from collections.abc import Hashable
from dataclasses import dataclass, field

from neatlab.dashboard.form import Refusal, Request
from neatlab.dashboard.view import Charts


@dataclass
class Session:
    """One window.

    Args:
        stop: Set when its training shall end.
        request: What it trains or shows; None before the first Train.
        refusal: Why its last Train was refused; the request before it stays.
        layer: The layer whose spectrum it shows; None for the first.
        stored: Ids of the runs that were in the store before its last Train.
        begun: Ids of the runs to show: those, and what this Train has started.
        drawn: Its last charts, and what they show.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    request: Request | None = None
    refusal: Refusal | None = None
    layer: str | None = None
    stored: frozenset[str] = frozenset()
    begun: set[str] = field(default_factory=set)
    drawn: tuple[Hashable, Charts] | None = None


class Sessions:
    """The open windows by Gradio's session hash."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}

    def get(self, key: str | None) -> Session:
        """The window's session, made on first use."""
        with self._lock:
            return self._open.setdefault(str(key), Session())

    def begin(self, key: str | None, request: Request) -> Session:
        """A fresh session for a new training; the window's old one is told to stop."""
        with self._lock:
            old = self._open.get(str(key))
            session = Session(request=request, layer=old.layer if old else None)
            self._open[str(key)] = session
        if old:
            old.stop.set()
        return session

    def end(self, key: str | None) -> None:
        """The window is closed: stop its training and forget it."""
        with self._lock:
            session = self._open.pop(str(key), None)
        if session:
            session.stop.set()

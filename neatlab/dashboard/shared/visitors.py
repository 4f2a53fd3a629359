"""Who asks: the browser behind a window, or the machine where a caller has no cookie."""

import hmac
import secrets
import threading
from collections import OrderedDict
from hashlib import sha256

VISITOR = "neatlab.visitor"  # key of the visitor in a request's scope
MAX_WINDOWS = 64  # that one visitor may have open
MAX_KNOWN = 4096  # windows whose visitor is remembered; the one that was used longest ago goes


class Visitors:
    """Tells visitors apart, by a mark that this server gave to their browser, else by their address."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._windows: OrderedDict[str, str] = OrderedDict()  # session hash → visitor, the one used last at the end

    def new_mark(self) -> str:
        """A mark for a browser that has none."""
        name = secrets.token_hex(8)
        return f"{name}.{self._sign(name)}"

    def identify(self, mark: str, address: str) -> str:
        """The visitor with this mark; a mark that this server did not give counts as none.

        Args:
            mark: What the browser sent; empty where it sent none.
            address: Where the request came from.
        """
        name, _, signature = mark.partition(".")
        is_genuine = hmac.compare_digest(signature.encode(), self._sign(name).encode())
        return name if is_genuine else f"address {address}"

    def enter(self, window: str, visitor: str) -> bool:
        """Note that a visitor uses a window, by its session hash.

        Returns:
            False where the window is another visitor's, or where they have too many.
        """
        with self._lock:
            if window in self._windows:
                self._windows.move_to_end(window)
                return self._windows[window] == visitor
            if sum(owner == visitor for owner in self._windows.values()) >= MAX_WINDOWS:
                return False
            self._windows[window] = visitor
            if len(self._windows) > MAX_KNOWN:
                self._windows.popitem(last=False)
        return True

    def leave(self, window: str, visitor: str) -> bool:
        """Note that a visitor has closed a window of theirs; False where it is none of theirs."""
        with self._lock:
            is_theirs = self._windows.get(window) == visitor
            if is_theirs:
                del self._windows[window]
        return is_theirs

    def present(self) -> set[str]:
        """The visitors who have a window open."""
        with self._lock:
            return set(self._windows.values())

    def of(self, window: str | None) -> str:
        """The visitor who uses a window; empty where that is not known."""
        return self._windows.get(window or "", "")

    def _sign(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), sha256).hexdigest()

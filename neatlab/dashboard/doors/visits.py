"""Marks browsers, so that one visitor can be told from another."""

from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neatlab.dashboard.shared.visitors import VISITOR, Visitors

FIRST_PARTY = "SameSite=Lax"
FRAMED = "SameSite=None; Secure; Partitioned"  # sent in a frame of another site too, which needs TLS
HEARTBEAT = "/gradio_api/heartbeat/"


class VisitDoor:
    """Finds out who asks; gives a mark to a browser that opens the page without one.

    Args:
        app: What is behind.
        visitors: The visitors of this server.
        forget: Takes the session hash of a window that its visitor has closed.
    """

    def __init__(self, app: ASGIApp, visitors: Visitors, forget: Callable[[str], None]) -> None:
        self._app, self._visitors, self._forget = app, visitors, forget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = f"neatlab-visitor-{(scope.get('server') or ('', 0))[1]}"  # a browser sends cookies to every port
        mark = _cookie(Headers(scope=scope).get("cookie", ""), name)
        address = (scope.get("client") or ("unknown", 0))[0]
        visitor = scope[VISITOR] = self._visitors.identify(mark, address)
        is_encrypted = Headers(scope=scope).get("x-forwarded-proto") == "https"
        is_new = visitor.startswith("address ") and scope["method"] == "GET" and scope["path"] == "/"
        try:
            await self._app(
                scope, receive, self._marking(name, FRAMED if is_encrypted else FIRST_PARTY, send) if is_new else send
            )
        finally:
            if str(scope["path"]).startswith(HEARTBEAT):  # it lasts as long as the window
                self._leave(str(scope["path"]).removeprefix(HEARTBEAT), visitor)

    def _leave(self, window: str, visitor: str) -> None:
        if self._visitors.leave(window, visitor):
            self._forget(window)

    def _marking(self, name: str, site: str, send: Send) -> Send:
        async def marking(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{name}={self._visitors.new_mark()}; Path=/; HttpOnly; {site}"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        return marking


def _cookie(header: str, name: str) -> str:
    try:
        cookie = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return cookie.value if cookie else ""

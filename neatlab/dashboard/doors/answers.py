"""Refusals of requests: an answer in one line, and the same line in the server's log."""

import logging
from collections.abc import Mapping

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from neatlab.errors import shown

LOG = logging.getLogger("neatlab.dashboard")


async def refuse(
    scope: Scope, receive: Receive, send: Send, status: int, message: str, headers: Mapping[str, str] | None = None
) -> None:
    """Answer a request with what is wrong with it.

    Args:
        scope: The request's scope.
        receive: Its channel.
        send: The answer's channel.
        status: HTTP status.
        message: One line.
        headers: Of the answer.
    """
    log_refusal(scope, status, message)
    answer = {"error": message, "detail": message}  # Gradio's page reads the one, its client the other
    await JSONResponse(answer, status, dict(headers or {}))(scope, receive, send)


def log_refusal(scope: Scope, status: int, message: str) -> None:
    """Write a line about a request that was refused."""
    host = (scope.get("client") or ["?"])[0]
    LOG.warning("%s %s %s from %s: %s", status, scope["method"], shown(scope["path"]), host, " ".join(message.split()))

"""Calls of the page's handlers and of the API: their form is checked before Gradio reads them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from gradio.block_function import BlockFunction
from starlette.types import ASGIApp, Receive, Scope, Send

from neatlab.dashboard.doors.answers import refuse
from neatlab.dashboard.doors.bodies import read_whole, replay
from neatlab.dashboard.shared.visitors import MAX_WINDOWS, VISITOR, Visitors
from neatlab.errors import BadInput, shown, unknown

CALLS = ("/gradio_api/run/", "/gradio_api/api/", "/gradio_api/call/", "/gradio_api/queue/join")
BY_NAME = "/gradio_api/call/v2/"  # its values have names, which Gradio checks
MAX_WINDOW_NAME = 64  # characters of a session hash
Functions = Mapping[int, BlockFunction]


class CallDoor:
    """Refuses calls that name no handler, bring too few values, or use a window of another visitor.

    Args:
        app: What is behind.
        functions: Gives the page's handlers by their numbers.
        visitors: The visitors of this server.
    """

    def __init__(self, app: ASGIApp, functions: Callable[[], Functions], visitors: Visitors) -> None:
        self._app, self._functions, self._visitors = app, functions, visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        if scope["method"] != "POST" or not path.startswith(CALLS):
            await self._app(scope, receive, send)
            return
        body = await read_whole(receive)
        if body is None:
            return
        try:
            call = _parsed(body)
            is_entered = self._check(path, call, scope[VISITOR])
        except BadInput as error:
            await refuse(scope, receive, send, 422, str(error))
            return
        if is_entered:
            await self._app(_with_length(scope, whole := orjson.dumps(call)), replay(whole, receive), send)
        else:
            message = f"the window is another visitor's, or you have {MAX_WINDOWS} open already; close some"
            await refuse(scope, receive, send, 429, message)

    def _check(self, path: str, call: dict[str, Any], visitor: str) -> bool:
        """Whether the visitor may use the window of a call; a call that cannot be is a BadInput."""
        window = call.get("session_hash")
        if window is not None and not self._visitors.enter(window, visitor):
            return False
        if not path.startswith(BY_NAME):
            _check_values(path, call, self._functions())
        return True


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        call = orjson.loads(body)
    except orjson.JSONDecodeError:
        call = None
    if not isinstance(call, dict):
        raise BadInput('a call is a JSON object such as {"data": [1, 2]}')
    window = call.get("session_hash")
    if window is not None and not (isinstance(window, str) and 0 < len(window) <= MAX_WINDOW_NAME):
        raise BadInput(f"session_hash {shown(window)}; allowed: a text of at most {MAX_WINDOW_NAME} characters")
    return call


def _check_values(path: str, call: dict[str, Any], functions: Functions) -> None:
    data = call.get("data")
    if not isinstance(data, list):
        raise BadInput(f"data {shown(data)}; allowed: the list of values")
    function = _function(path.rstrip("/").rpartition("/")[2], call.get("fn_index"), functions)
    needed = [block for block in function.inputs if not ("/call/" in path and block.skip_api)]
    if len(data) < len(needed):
        data += _defaults(function, len(needed), len(data))


def _function(name: str, index: Any, functions: Functions) -> BlockFunction:
    """The handler that a call is for, as Gradio finds it."""
    if index is not None:
        if type(index) is not int or index not in functions:
            raise BadInput(f"fn_index {shown(index)}; allowed: the number of one of the page's handlers")
        return functions[index]
    named = {function.api_name: function for function in functions.values() if isinstance(function.api_name, str)}
    if name not in named:
        public = [key for key, function in named.items() if function.api_visibility == "public"]
        raise unknown("endpoint", name, public)
    return named[name]


def _defaults(function: BlockFunction, needed: int, given: int) -> list[Any]:
    """The values that a call of the API may leave out; a BadInput where it lacks others."""
    text = f"{function.api_name} takes {needed} values, and {given} came"
    if function.api_visibility != "public" or function.fn is None:
        raise BadInput(text)
    parameters = [one for one in inspect.signature(function.fn).parameters.values() if one.name != "request"][given:]
    if missing := [one.name for one in parameters if one.default is one.empty]:
        raise BadInput(f"{text}; missing: {', '.join(missing)}")
    return [one.default for one in parameters]


def _with_length(scope: Scope, body: bytes) -> Scope:
    """The scope of a request whose body was filled in."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    return {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}

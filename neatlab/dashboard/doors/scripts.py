"""Gradio's script for calls, with one condition that it lacks.

When a call ends, that script gives every component that the call has read a state of progress, which is meant for
streams alone. Each later call then looks for each of these components in the whole page: of the page's work in a
training that was a quarter.
"""

from pathlib import Path

from gradio.route_utils import BUILD_PATH_LIB
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = Path(BUILD_PATH_LIB)
PATTERN = "Blocks-*.js"
LACKING = "if(s.stage===`complete`){n=`closed`,"
MENDED = "if(s.stage===`complete`){r.connection_type===`stream`&&(n=`closed`),"
HEADERS = {"cache-control": "max-age=600"}  # seconds; the name stays while what is mended may change


class ScriptDoor:
    """Serves the mended script in the place of Gradio's; a version that reads otherwise is left as it is.

    Args:
        app: What is behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._scripts = app, mended()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        script = self._scripts.get(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        answer = self._app if script is None else Response(script, media_type="text/javascript", headers=HEADERS)
        await answer(scope, receive, send)


def mended() -> dict[str, str]:
    """Path in a URL → script, of those that lack the condition in one place."""
    scripts = {f"/assets/{path.name}": path.read_text(encoding="utf-8") for path in FOLDER.glob(PATTERN)}
    return {path: text.replace(LACKING, MENDED) for path, text in scripts.items() if text.count(LACKING) == 1}

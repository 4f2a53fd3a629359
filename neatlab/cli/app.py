"""The command that serves the dashboard."""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from neatlab.errors import BadInput
from neatlab.runtime.collector import uncollected

OPTIONS = (
    *("insecure", "lessons", "trainings", "inspect_root", "trust_host", "memory", "shared_runs"),
    *("public", "seconds", "embed_from"),
)
Check = Callable[[str], Any]


def add_app(subparsers: Any, runs: str, count: Check, share: Check) -> None:
    """Add the command `app`.

    Args:
        subparsers: Of the program.
        runs: The usual runs folder.
        count: Reads a whole number from 1.
        share: Reads a share above 0.
    """
    parser = subparsers.add_parser("app", help="serve the dashboard")
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=count, help="TCP port (default: 7860)")
    parser.add_argument("--runs", metavar="DIR", help=f"runs folder (default: {runs}; --public: one that goes)")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask visitors for a password; better in NEATLAB_AUTH")
    parser.add_argument("--auth-file", metavar="FILE", help="a file that holds user:password")
    parser.add_argument("--insecure", action="store_true", help="serve other machines without a password")
    parser.add_argument(
        "--public", action="store_true", help="serve everybody: no files, short trainings, no run stays"
    )
    parser.add_argument("--seconds", type=count, metavar="N", help="that a training may take (--public: 180)")
    parser.add_argument("--embed-from", action="append", default=[], metavar="ORIGIN", help="who may show it in a page")
    parser.add_argument("--trust-host", action="append", default=[], metavar="NAME", help="a name that leads here")
    parser.add_argument("--shared-runs", action="store_true", help="any visitor may stop and delete any run")
    parser.add_argument("--memory", type=share, default=0.25, metavar="SHARE", help="of it, for opening an upload")
    parser.add_argument("--lessons", metavar="DIR", help="folder of lessons, NAME.json each")
    parser.add_argument("--inspect-root", metavar="DIR", help="let visitors open adapter folders under DIR")
    parser.add_argument("--trainings", type=count, metavar="N", help="trainings at once (default: one a core)")
    parser.set_defaults(run=app, usual_runs=runs)


def app(arguments: argparse.Namespace) -> None:
    """Serve the dashboard."""
    with uncollected():
        from neatlab.dashboard.server import launch, read_auth

    host, port = _address(arguments)
    with _runs_folder(arguments) as runs:
        launch(
            host,
            port,
            runs,
            auth=read_auth(arguments.auth, arguments.auth_file),
            **{name: getattr(arguments, name) for name in OPTIONS},
        )


def _address(arguments: argparse.Namespace) -> tuple[str, int]:
    """Host and port: as given; of a public server as the machine says that serves it, in Gradio's variables."""
    said = os.environ if arguments.public else {}
    port = said.get("GRADIO_SERVER_PORT", "7860")
    if not port.isdecimal():
        raise BadInput(f"GRADIO_SERVER_PORT is {port!r}; give a port, such as 7860")
    return arguments.host or said.get("GRADIO_SERVER_NAME") or "127.0.0.1", arguments.port or int(port)


@contextmanager
def _runs_folder(arguments: argparse.Namespace) -> Iterator[str]:
    """The runs folder; of a public server one that goes with it, where none is given."""
    if arguments.runs or not arguments.public:
        yield arguments.runs or arguments.usual_runs
        return
    with tempfile.TemporaryDirectory(prefix="neatlab-public-") as folder:
        yield folder

"""Serve the page."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from neatlab.dashboard.doors.frames import ancestors
from neatlab.dashboard.doors.guard import lifespan
from neatlab.dashboard.doors.hosts import TrustedHosts
from neatlab.dashboard.doors.passwords import login
from neatlab.dashboard.doors.sessions import MAX_SESSIONS
from neatlab.dashboard.lessons import read_lessons
from neatlab.dashboard.page import build
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.jobs import Jobs
from neatlab.dashboard.shared.memory import SHARE, keep_giving_back, machine_bytes
from neatlab.dashboard.shared.profile import OWN, PUBLIC, Profile
from neatlab.dashboard.shared.server_folder import server_folder
from neatlab.dashboard.shared.sweeper import Sweeper
from neatlab.dashboard.shared.visitors import Visitors
from neatlab.errors import BadInput
from neatlab.runs.store import Store
from neatlab.runtime.collector import uncollected

SHARED_STYLES = Path(__file__).parents[1] / "report" / "answers.css"
OWN_PAGE = "replay"  # its styles are those of another page
OURS = [path for path in Path(__file__).parent.rglob("*.css") if path.parent.name != OWN_PAGE]
STYLES = sorted([*OURS, SHARED_STYLES], key=lambda path: path.name)
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace"]
MAX_UPLOAD = "50mb"
SWITCH_SECONDS = 0.0005  # charts are drawn in threads; whoever waits for an answer must not wait for each of them
THREADS = 100  # each open window that follows a training needs a thread

User = tuple[str, str]


def launch(
    host: str,
    port: int,
    runs: str | Path,
    *,
    auth: User | None = None,
    insecure: bool = False,
    lessons: str | Path | None = None,
    trainings: int | None = None,
    inspect_root: str | Path | None = None,
    trust_host: Sequence[str] = (),
    memory: float = SHARE,
    shared_runs: bool = False,
    public: bool = False,
    seconds: float | None = None,
    embed_from: Sequence[str] = (),
) -> None:
    """Serve the dashboard until it is interrupted.

    Args:
        host: Address to listen on; 127.0.0.1 for this machine alone.
        port: TCP port.
        runs: Folder for the runs.
        auth: User and password that a visitor must give.
        insecure: Serve other machines without a password.
        lessons: Folder of lessons.
        trainings: How many train at the same time; as many as there are cores by default.
        inspect_root: Folder under which visitors may open adapters.
        trust_host: Further names that requests may be meant for and come from, such as a proxy's.
        memory: Share of this machine's memory that a process may take which opens what a visitor has brought.
        shared_runs: Whether any visitor may stop any training and delete any run.
        public: Serve everybody, within limits: no files, no folders, short trainings, and no run outlives its visit.
        seconds: How long a process may take, that of a training too.
        embed_from: Origins whose pages may show this one in a frame.

    Raises:
        BadInput: A system without forkserver; an address that cannot be used, or is open to others without a password;
            a lesson that is none; a root that is no folder, or one beside `public`; an origin that is none.
        StoreError: The folder cannot be written.
    """
    check_system()
    profile = _profile(public, seconds, inspect_root, shared_runs)
    if public:
        os.environ.pop("SYSTEM", None)  # in a Space Gradio would watch our files for changes, with a package of its own
    store = Store(runs)
    store.check_writable()
    check_host(host, auth, insecure or public)
    outside = os.environ.get("SPACE_HOST", "") if public else ""
    hosts = TrustedHosts(host, [*trust_host, *([outside] if outside else [])])
    frames = ancestors(embed_from, _is_local(host), os.environ)
    _check_address(host, port)
    named = read_lessons(lessons) if lessons else {}
    root = _folder(inspect_root) if inspect_root else None
    jobs = Jobs(
        store.root,
        trainings or os.cpu_count() or 1,
        profile.waiting,
        memory=int(memory * machine_bytes()),
        limits=profile,
    )
    with server_folder():
        context = Context(store, jobs, root, visitors=Visitors(), shared_runs=shared_runs, profile=profile)
        sys.setswitchinterval(SWITCH_SECONDS)
        with uncollected():
            demo = build(context, named)
            _serve(demo, host, port, auth, lifespan(demo, hosts, context, Path(get_upload_folder()), frames))
        jobs.warm_up()
        keep_giving_back()
        if not profile.keeps_runs:
            Sweeper(store, jobs, context.visitors).start()
        threading.Thread(target=_import_peft, daemon=True).start()
        print(f"neatlab is at {demo.local_url}  (runs: {runs}; Ctrl+C ends it)", flush=True)
        _wait_for_interrupt(demo, jobs)


def _import_peft() -> None:
    """Checking a NEAT arm needs it: imported when the page answers, so that the first Train does not wait."""
    with uncollected():
        import neatlab.adapters.neat.config  # noqa: F401


def check_system() -> None:
    """Refuse a system that cannot fork training processes from a server, which Windows cannot.

    Raises:
        BadInput: Such a system.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise BadInput("the page runs on Linux and macOS: its trainings are forked; the command line runs here too")


def _profile(public: bool, seconds: float | None, inspect_root: str | Path | None, shared_runs: bool) -> Profile:
    profile = PUBLIC if public else OWN
    if public and (inspect_root or shared_runs):
        option = "--inspect-root" if inspect_root else "--shared-runs"
        raise BadInput(f"{option} beside --public, which lets nobody do that; leave one of them out")
    return profile if seconds is None else profile._replace(seconds=seconds)


def _folder(path: str | Path) -> Path:
    if not Path(path).is_dir():
        raise BadInput(f"--inspect-root {path} is no folder; give one that holds adapters")
    return Path(path).resolve()


def _serve(demo: gr.Blocks, host: str, port: int, auth: User | None, guarded: Any) -> None:
    demo.launch(
        server_name=host,
        server_port=port,
        auth=login(*auth) if auth else None,
        auth_message="neatlab" if auth else None,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        footer_links=[],
        max_file_size=MAX_UPLOAD,
        max_threads=THREADS,
        state_session_capacity=MAX_SESSIONS,
        theme=theme(),
        css_paths=STYLES,
        app_kwargs={"lifespan": guarded},
    )


def _wait_for_interrupt(demo: gr.Blocks, jobs: Jobs) -> None:
    """Block until Ctrl+C or a polite kill, then stop the trainings before going."""

    def leave(number: int, frame: FrameType | None) -> Any:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        jobs.close()
        demo.server.config.timeout_graceful_shutdown = 1  # second: it would wait for open windows
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # cutting them off is no error
        demo.close()


def theme() -> gr.themes.Base:
    """Calm colours and the system's own fonts: none is fetched."""
    calm = gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", radius_size="sm", spacing_size="sm", font=FONTS, font_mono=MONO
    )
    quiet, quiet_dark = "*neutral_600", "*neutral_300"  # Gradio's own are too pale to read
    return calm.set(
        button_primary_background_fill="*primary_600",  # white on Gradio's own, a shade lighter, is too pale
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        body_text_color_subdued=quiet,
        body_text_color_subdued_dark=quiet_dark,
        block_info_text_color=quiet,
        block_info_text_color_dark=quiet_dark,
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )


def read_auth(given: str | None, file: str | None) -> User | None:
    """User and password: given, else from a file, else from NEATLAB_AUTH; None where there are none.

    Args:
        given: "user:password", which other users of this machine can see in its list of processes.
        file: Path of a file that holds it.

    Raises:
        BadInput: A file that cannot be read, or text that is not user:password.
    """
    source = "--auth" if given else f"--auth-file {file}" if file else "NEATLAB_AUTH"
    if given:
        print(
            "--auth on the command line can be seen by others here; better: NEATLAB_AUTH or --auth-file",
            file=sys.stderr,
        )
    try:
        text = given or (Path(file).read_text(encoding="utf-8").strip() if file else os.environ.get("NEATLAB_AUTH"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{source} cannot be read: {error}") from error
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise BadInput(f"{source} is not of the form user:password")
    return user, password


def check_host(host: str, auth: User | None, insecure: bool) -> None:
    """Refuse to serve other machines without a password, unless asked to.

    Raises:
        BadInput: No password and no `insecure`.
    """
    if auth or insecure or _is_local(host):
        return
    raise BadInput(
        f"--host {host} lets other machines train here; give a password (NEATLAB_AUTH=user:password or --auth-file), "
        "or --insecure if the network is yours alone"
    )


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_address(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"cannot listen on {host}:{port}: {reason}; choose another with --host and --port") from error

"""Serve the page."""

import socket
from pathlib import Path

import gradio as gr
import torch

from neatlab.dashboard.page import build
from neatlab.errors import BadInput
from neatlab.store import Store

CSS = Path(__file__).parent / "style.css"
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace"]


def launch(host: str, port: int, runs: str | Path) -> None:
    """Serve the dashboard until it is interrupted.

    Args:
        host: Address to listen on; 127.0.0.1 for this machine alone.
        port: TCP port.
        runs: Folder for the runs.

    Raises:
        BadInput: The address cannot be used.
        StoreError: The folder cannot be written.
    """
    Store(runs).check_writable()
    _check_address(host, port)
    torch.set_num_threads(1)  # the models are small, and several windows train at once
    demo = build(runs)
    demo.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        footer_links=[],
        theme=theme(),
        css_paths=CSS,
    )
    print(f"neatlab is at {demo.local_url}  (runs: {runs}; Ctrl+C ends it)", flush=True)
    demo.block_thread()


def theme() -> gr.themes.Base:
    """Calm colours and the system's own fonts: none is fetched."""
    calm = gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", radius_size="sm", spacing_size="sm", font=FONTS, font_mono=MONO
    )
    quiet, quiet_dark = "*neutral_600", "*neutral_300"  # Gradio's own are too pale to read
    return calm.set(
        body_text_color_subdued=quiet,
        body_text_color_subdued_dark=quiet_dark,
        block_info_text_color=quiet,
        block_info_text_color_dark=quiet_dark,
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )


def _check_address(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"cannot listen on {host}:{port}: {reason}; choose another with --host and --port") from error

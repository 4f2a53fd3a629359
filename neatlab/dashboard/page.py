"""The page: its layout, and what happens when someone touches it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from neatlab.dashboard.controls import Form, arm_controls, run_controls
from neatlab.dashboard.form import Refusal, read_form
from neatlab.dashboard.live_plot import live_plot, serve_plotly
from neatlab.dashboard.race import Claims
from neatlab.dashboard.sessions import Sessions
from neatlab.dashboard.training import follow, update
from neatlab.dashboard.view import NO_CHARTS
from neatlab.dashboard.words import HEADER, NO_TABLE, NOTE, READY, WAITING, command_note, mistake, refused
from neatlab.store import Store

TRAININGS = 4  # at the same time over all windows; the next ones wait in the queue


class Board(NamedTuple):
    """The page's right side: what the training fills."""

    status: gr.HTML
    learning: gr.HTML
    spectrum: gr.HTML
    ranks: gr.HTML
    parameters: gr.HTML
    layer: gr.Dropdown
    table: gr.HTML
    command: gr.HTML


def build(runs: str | Path) -> gr.Blocks:
    """The dashboard, not yet served.

    Args:
        runs: Folder for the runs.

    Returns:
        The Gradio app.
    """
    serve_plotly()
    form = Form({}, {})
    with gr.Blocks(title="neatlab", fill_width=True, analytics_enabled=False) as demo:
        gr.HTML(HEADER, apply_default_css=False)
        with gr.Row(elem_classes=["lab"]):
            with gr.Column(scale=1, min_width=300, elem_classes=["settings"]):
                run_controls(form)
                arm_controls("a", "lora", form)
                arm_controls("b", "neat", form)
            with gr.Column(scale=3, min_width=320, elem_classes=["results"]):
                train, stop, said = _actions()
                board = _board(said)
        _Wiring(form, board, Store(runs)).connect(demo, train, stop)
    demo.queue(max_size=32, default_concurrency_limit=None)
    return demo


def _actions() -> tuple[gr.Button, gr.Button, gr.HTML]:
    with gr.Row(elem_classes=["actions"]):
        train = gr.Button("Train", variant="primary", elem_id="train", min_width=90)
        stop = gr.Button("Stop", interactive=False, elem_id="stop", min_width=90)
        said = gr.HTML(READY, elem_id="status", apply_default_css=False)
    return train, stop, said


def _board(said: gr.HTML) -> Board:
    with gr.Row(elem_classes=["charts"]):
        with gr.Column(min_width=300):
            learning = live_plot("learning", "Loss and metric", "Both arms' curves, while they train.", 430)
            parameters = live_plot("parameters", "Trainable parameters", "Adapter and head of each arm.", 180)
        with gr.Column(min_width=300):
            layer = gr.Dropdown([], label="layer of ΔW", elem_id="layer", interactive=True)
            spectrum = live_plot("spectrum", "Spectrum of ΔW", "The singular values of ΔW in one layer.", 270)
            ranks = live_plot("ranks", "Effective rank of ΔW", "How many directions ΔW uses, over the steps.", 270)
    table = gr.HTML(NO_TABLE, elem_id="summary", apply_default_css=False)
    command = gr.HTML(NOTE, elem_id="command", apply_default_css=False)
    return Board(said, learning, spectrum, ranks, parameters, layer, table, command)


class _Wiring:
    """The handlers of one page; what a window shows is kept by its session hash, models never.

    Every gr.HTML among a handler's outputs gets a value each time: a skipped one would lose its other properties.
    """

    def __init__(self, form: Form, board: Board, store: Store) -> None:
        self._form, self._board, self._store = form, board, store
        self._names = list(form.fields)
        self._sessions, self._claims = Sessions(), Claims()

    def connect(self, demo: gr.Blocks, train: gr.Button, stop: gr.Button) -> None:
        """Attach the handlers."""
        light: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
        board, messages, buttons = self._board, list(self._form.messages.values()), [train, stop]
        fields, said = list(self._form.fields.values()), [board.status, *messages]
        begun = train.click(self._begin, fields, [*said, board.command, *buttons], api_name="begin", **light)
        trained = begun.then(
            self._train,
            None,
            [*said, board.learning, board.spectrum, board.ranks, board.parameters, board.table, board.layer],
            api_name="train",
            concurrency_id="training",
            concurrency_limit=TRAININGS,
            show_progress="hidden",
        )
        trained.then(_idle, None, buttons, api_name=False, **light)
        stop.click(self._stop, None, stop, api_name="stop", **light)
        board.layer.input(self._show_layer, board.layer, [board.spectrum, board.ranks], api_name="layer", **light)
        demo.unload(self._close)

    def _begin(self, request: gr.Request, *values: Any) -> list[Any]:
        """Check the form; a refused one trains nothing."""
        try:
            asked = read_form(dict(zip(self._names, values, strict=True)))
        except Refusal as refusal:
            session = self._sessions.get(request.session_hash)
            session.refusal = refusal
            before = session.request.command if session.request else None
            return [*self._refused(refusal), command_note(before), *_idle()]
        self._sessions.begin(request.session_hash, asked)
        buttons = [gr.update(interactive=False), gr.update(interactive=True)]
        return [*self._said(WAITING), command_note(asked.command), *buttons]

    def _train(self, request: gr.Request) -> Iterator[list[Any]]:
        session = self._sessions.get(request.session_hash)
        known: tuple[str, ...] = ()
        if session.refusal:
            now = update(session, self._store)  # what was there stays: an output without a value would be emptied
            yield [*self._refused(session.refusal), *now.charts, now.table, gr.skip()]
            return
        try:
            for now in follow(session, self._store, self._claims):
                # Only new layers: a list that someone is choosing from must not be replaced under their hand.
                layers = gr.skip() if now.layers == known else gr.update(choices=now.layers, value=now.layer)
                known = now.layers
                yield [*self._said(now.status), *now.charts, now.table, layers]
        except Refusal as refusal:
            yield [*self._refused(refusal), *NO_CHARTS, NO_TABLE, gr.skip()]

    def _stop(self, request: gr.Request) -> Any:
        self._sessions.get(request.session_hash).stop.set()
        return gr.update(interactive=False)

    def _close(self, request: gr.Request) -> None:
        self._sessions.end(request.session_hash)

    def _show_layer(self, layer: str, request: gr.Request) -> list[Any]:
        session = self._sessions.get(request.session_hash)
        session.layer = layer
        now = update(session, self._store).charts
        return [now.spectrum, now.ranks]

    def _said(self, said: str) -> list[str]:
        """The status, and no message in any part of the form."""
        return [said, *("" for _ in self._form.messages)]

    def _refused(self, refusal: Refusal) -> list[str]:
        """The same, with the message where the mistake is."""
        parts = self._form.messages
        messages = (mistake(str(refusal)) if refusal.part == part else "" for part in parts)
        return [refused(refusal.part, str(refusal)), *messages]


def _idle() -> list[Any]:
    return [gr.update(interactive=True), gr.update(interactive=False)]

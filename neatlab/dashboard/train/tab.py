"""The Train tab: two to four arms side by side, live, and a slider through time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from neatlab.dashboard.shared.choices import PARTS, TASK_CHOICES
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.field_error import Refusal
from neatlab.dashboard.shared.html import mistake
from neatlab.dashboard.shared.links import Link
from neatlab.dashboard.shared.live_plot import Chart, live_plot, together
from neatlab.dashboard.shared.tab import LIGHT, Tab
from neatlab.dashboard.train.charts import Look
from neatlab.dashboard.train.controls import Form, arm_controls, preset_control, run_controls
from neatlab.dashboard.train.data_form import DataForm
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.follow import Update, View, follow, leave, resume, start, tell, update
from neatlab.dashboard.train.form import arm_fields, arm_text, read_form
from neatlab.dashboard.train.hints import LAYERS, LEARNING, MAP, PARAMETERS, SPECTRUM
from neatlab.dashboard.train.words import NO_TABLE, NOTE, READY, command_note, refused
from neatlab.errors import NeatlabError

SCRIPT = (Path(__file__).parent / "train_tab.js").read_text(encoding="utf-8")
KEEP_LAYERS = 'watch("value", () => window.neatlabKeepLayers(JSON.parse(props.value)));'
CHOOSE_LAYER = "(layer) => window.neatlabChooseLayer(layer)"
LINK_LAYER = "(layer) => window.neatlabSetLink({layer})"
LINK_STEP = "(at) => window.neatlabLinkStep(at)"
MOVED = "(at) => window.neatlabMoved(at)"
CHARTS = (
    Chart("learning", "Loss and metric", "The arms' curves, while they train.", 460, LEARNING),
    Chart("layers", "ΔW in this layer over time", "Effective rank and size of ΔW.", 460, LAYERS),
    Chart("spectrum", "Spectrum of ΔW", "The singular values of ΔW in one layer.", 270, SPECTRUM),
    Chart("map", "Effective rank, layer by layer", "Every layer at every measured step.", 270, MAP),
    Chart("parameters", "Trainable parameters", "Adapter and head of each arm.", 200, PARAMETERS),
)
SETTINGS = ("task", "steps", "batch", "lr", "seed", "match")
ENDED = ("idle", "shown", "ended")  # phases after which a window is told nothing more by itself
LOST = '<div data-lost="lost"></div>'


class TrainTab(Tab):
    """Form on the left; status, charts and table on the right."""

    name: ClassVar[str] = "train"
    title: ClassVar[str] = "Train"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._windows: Windows[View] = Windows(lambda: View(Feed(context.store.root)))
        self._form = Form({}, {}, {}, {})
        with gr.Row(elem_classes=["lab"]):
            with gr.Column(scale=1, min_width=300, elem_classes=["settings"]):
                self._preset = preset_control()
                run_controls(self._form)
                self._data = DataForm(context, self._form)
                for part, method in zip(PARTS, ("lora", "neat", "", ""), strict=True):
                    arm_controls(part, method, self._form)
            with gr.Column(scale=3, min_width=320, elem_classes=["results"]):
                self._actions()
                self._time()
                self._results()
        self.controls = {"presets": [self._preset], "scrub": [self._scrub], "command": [self._command]}
        self.controls |= self._form.groups

    def _actions(self) -> None:
        with gr.Row(elem_classes=["actions"]):
            # Train and Step wait for the page's link: what they train must be what it says.
            self._train = gr.Button("Train", variant="primary", interactive=False, elem_id="train", min_width=80)
            self._pause = gr.Button("Pause", interactive=False, elem_id="pause", min_width=70)
            self._step = gr.Button("Step", interactive=False, elem_id="step", min_width=70)
            self._stop = gr.Button("Stop", interactive=False, elem_id="stop", min_width=70)
            self._reset = gr.Button("Reset", elem_id="reset", min_width=70)
        self._status = gr.HTML(READY, js_on_load=SCRIPT, elem_id="status", apply_default_css=False)

    def _time(self) -> None:
        with gr.Row(elem_classes=["scrub"]) as self._scrub:
            self._at = gr.Slider(
                0, 1, 0, step=1, label="step shown; the last follows the training", elem_id="at", interactive=True
            )
            self._layer = gr.Dropdown([], label="layer of ΔW", elem_id="layer", interactive=True)
            self._arm = gr.Dropdown([], label="arm of the heat map", elem_id="map-arm", interactive=True)

    def _results(self) -> None:
        self._charts = live_plot(*CHARTS)
        self._others = gr.HTML("{}", js_on_load=KEEP_LAYERS, apply_default_css=False, elem_classes=["unseen"])
        self._command = gr.HTML(NOTE, elem_id="command", apply_default_css=False)
        self._table = gr.HTML(NO_TABLE, elem_id="summary", apply_default_css=False)

    @property
    def link_inputs(self) -> list[Component]:
        return list(self._form.fields.values())

    @property
    def link_outputs(self) -> list[Block]:
        return self._form.blocks

    def write_link(self, values: list[Any], window: str | None) -> dict[str, Any]:
        form, look = dict(zip(self._form.fields, values, strict=True)), self._windows.get(window).look
        arms = [text for part in PARTS if (text := arm_text(part, form))]
        if form["task"] not in TASK_CHOICES.values():
            form["task"] = None  # an upload is this window's alone
        return {n: form[n] for n in SETTINGS} | {"arm": arms, "layer": look.layer, "at": look.at}

    def read_link(self, link: Link, window: str | None) -> list[Any]:
        said = link.said()
        fields: dict[str, Any] = {name: said[name] for name in SETTINGS if name in said}
        if link.arm:
            fields |= arm_fields(link.arm)
        view = self._windows.get(window)
        view.look = Look(link.layer, link.at)
        form = self._form.updates(fields)
        if said.keys() & {"task", "arm", "steps", "seed", "batch", "lr", "match"}:
            resume(view, self.context, read_form(self._form.defaults | fields))
        return form

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers."""
        fields = list(self._form.fields.values())
        messages = list(self._form.messages.values())
        begun = [self._status, *messages, self._command]
        shown = [self._status, self._charts, self._others, self._table, self._at]
        self.link_events = [self._train.click, self._step.click]  # a training must be there again after a reload
        for button, handler in ((self._train, self._begin), (self._step, self._begin_step)):
            followed = button.click(handler, fields, begun, **LIGHT).then(self._follow, None, shown, **self._long)
            followed.then(self._mistakes, None, messages, **LIGHT)  # what was found as the training began
        self.restored = [(self._follow, None, shown, self._long)]
        self._status.tick(self._refresh, None, shown, **self._long)
        self._status.retry(self._follow, None, shown, **self._long)
        for button, word in ((self._pause, "pause"), (self._stop, "stop")):
            button.click(self._tell(word), None, button, **LIGHT)
        self._reset.click(self._clear, None, [*begun, *shown[1:]], **LIGHT)
        newest: dict[str, Any] = LIGHT | {"trigger_mode": "always_last"}
        self._status.submit(self._controls, None, [*self._buttons, self._layer, self._arm], **newest)
        # `input`, not `change`: what the server fills in is nobody's choice.
        for name, control, js in (("layer", self._layer, None), ("arm", self._arm, None), ("at", self._at, MOVED)):
            # By a follower who takes over from the other: two who draw at once would overtake each other.
            chosen = control.input(self._look(name), control, None, js=js, **newest)
            chosen.then(self._follow, None, shown, **self._long)
        # The link of these in the browser: the other way asks after a hundred values.
        self._layer.change(None, self._layer, None, js=CHOOSE_LAYER)
        self._layer.input(None, self._layer, None, js=LINK_LAYER)
        self._at.input(None, self._at, None, js=LINK_STEP)
        self._data.connect(demo)
        demo.unload(self._close)

    @property
    def _long(self) -> dict[str, Any]:
        return {"api_visibility": "private", "concurrency_limit": None, "show_progress": "hidden"}

    @property
    def _buttons(self) -> list[gr.Button]:
        return [self._train, self._pause, self._step, self._stop]

    def _begin(self, request: gr.Request, *values: Any) -> list[Any]:
        return self._started("go", request, values)

    def _begin_step(self, request: gr.Request, *values: Any) -> list[Any]:
        return self._started("step", request, values)

    def _started(self, word: Any, request: gr.Request, values: Any) -> list[Any]:
        """Check the form, then start its order or go on with it; a refused one trains nothing."""
        view = self._windows.get(request.session_hash)
        try:
            order = read_form(dict(zip(self._form.fields, values, strict=True)), self._data.tasks(request.session_hash))
            if not (view.active and view.order == order):
                start(view, self.context, order, word)
            elif not tell(view, self.context, word):
                raise Refusal("run", "another window trains these runs; watch them here, or take another seed")
            view.refusal = None
        except NeatlabError as error:
            view.refusal = error if isinstance(error, Refusal) else Refusal("run", str(error))
            view.job = view.active  # one that has ended has no say any more: its own refusal would cover this one
        now = update(view, self.context)
        return [_status(view, now), *self._messages(view), command_note(view.order)]

    def _follow(self, request: gr.Request) -> Iterator[list[Any]]:
        view = self._windows.get(request.session_hash)
        for now in follow(view, self.context):
            self._windows.touch(request.session_hash)
            yield self._shown(view, now)

    def _refresh(self, request: gr.Request) -> Iterator[list[Any]]:
        """Follow again, for a window that has heard nothing for a while though its training goes on.

        Where the server does not know that training any more, as after a restart, the page loads itself again.
        """
        if self._windows.get(request.session_hash).order is None:
            yield [LOST, *[gr.skip()] * 4]
        else:
            yield from self._follow(request)

    def _shown(self, view: View, now: Update | None) -> list[Any]:
        if now is None:
            return [gr.skip()] * 5
        charts = now.charts._asdict()
        others = charts.pop("others") or "{}"
        return [_status(view, now), together(charts), others, now.table, _moment(view, now)]

    def _controls(self, request: gr.Request) -> list[Any]:
        """Buttons and lists as they are now; asked for when the training's phase or the lists have changed."""
        now = update(self._windows.get(request.session_hash), self.context, ())
        lists = ((now.layers, now.layer), (now.arms, now.arm))
        return [*_buttons(now.phase), *(gr.update(choices=list(names), value=name) for names, name in lists)]

    def _tell(self, word: Any) -> Any:
        def handle(request: gr.Request) -> Any:
            view = self._windows.get(request.session_hash)
            tell(view, self.context, word)
            view.told += 1
            return gr.update(interactive=False)

        return handle

    def _clear(self, request: gr.Request) -> list[Any]:
        """Back to the start: the training is stopped, the page emptied; the initialisation stays that of the seed."""
        view = self._windows.get(request.session_hash)
        leave(view, self.context)
        fresh = View(view.feed)
        view.__dict__.update(fresh.__dict__)
        now = update(view, self.context)
        return [_status(view, now), *self._messages(view), command_note(None), *self._shown(view, now)[1:]]

    def _look(self, name: str) -> Any:
        """Of a control: the handler that sets one part of the look."""

        def look(value: Any, request: gr.Request) -> None:
            view = self._windows.get(request.session_hash)
            view.look = view.look._replace(**{name: _checked(view, name, value)})
            if name == "at":
                view.slider = None  # an update on its way may have moved it again

        return look

    def _close(self, request: gr.Request) -> None:
        """The window is gone; its training goes on for a little while, for it may only be loaded again."""
        if view := self._windows.end(request.session_hash):
            view.closed = True

    def _mistakes(self, request: gr.Request) -> list[str]:
        return self._messages(self._windows.get(request.session_hash))

    def _messages(self, view: View) -> list[str]:
        """A message where a mistake was made."""
        wrong = view.refusal
        return [mistake(str(wrong)) if wrong and wrong.part == part else "" for part in self._form.messages]


def _status(view: View, now: Update) -> str:
    """The status with the number of its update, whether another is to come, and a mark of the buttons and lists."""
    said = refused(view.refusal.part, str(view.refusal)) if view.refusal else now.status
    # Not with the layer chosen: the answer would come after the next choice, and take it back.
    mark = crc32(repr((now.phase, view.told, now.layers, now.arms)).encode())
    live = "" if now.phase in ENDED else "live"
    return f'<div data-update="{now.number}" data-controls="{mark:x}" data-more="{live}">{said}</div>'


def _moment(view: View, now: Update) -> Any:
    """The slider's place; nothing where it stands there already, for someone may be moving it."""
    place = (now.at, max(now.total, 1))
    if view.slider == place:
        return gr.skip()
    view.slider = place
    return gr.update(value=place[0], maximum=place[1])


def _checked(view: View, name: str, value: Any) -> Any:
    """A look's value as it can be used: the last step stands for "follow the training"."""
    if name != "at":
        return str(value)[:200] if value is not None else None
    total = view.configs[0].training.steps if view.configs else 0
    return int(value) if isinstance(value, int | float) and 0 <= value < total else None


def _buttons(phase: str) -> list[Any]:
    """Train, Pause, Step, Stop as the phase allows them."""
    active = phase not in (*ENDED, "watching")
    paused = phase in ("pausing", "paused")
    return [
        gr.update(interactive=not active or paused, value="Go on" if paused else "Train"),
        gr.update(interactive=active and not paused),
        gr.update(interactive=not active or paused),
        gr.update(interactive=active),
    ]

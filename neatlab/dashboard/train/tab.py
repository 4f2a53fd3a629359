"""The Train tab: two to four arms side by side, live, and a slider through time."""

from pathlib import Path
from typing import Any, ClassVar

import gradio as gr
import orjson
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import api

from neatlab.dashboard.shared.arm_form import Form, arm_controls
from neatlab.dashboard.shared.arm_values import arm_text
from neatlab.dashboard.shared.choices import PARTS, task_choices
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.in_order import in_order
from neatlab.dashboard.shared.live_plot import live_plot
from neatlab.dashboard.shared.tab import LIGHT, LONG, UNCHECKED, Tab
from neatlab.dashboard.train.charts import CHARTS
from neatlab.dashboard.train.charts.weights import sketch_table
from neatlab.dashboard.train.controls import run_controls
from neatlab.dashboard.train.data_form import DataForm
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.form import SETTINGS, arm_fields, read_form
from neatlab.dashboard.train.handlers import Handlers
from neatlab.dashboard.train.link import TrainLink
from neatlab.dashboard.train.snapshot import ViewState
from neatlab.dashboard.train.take import TakeAway
from neatlab.dashboard.train.window import TrainWindow, resume, watch
from neatlab.dashboard.train.words import NO_TABLE, NOTE, READY

SCRIPT = (Path(__file__).parent / "train_tab.js").read_text(encoding="utf-8")
KEEP_LAYERS = 'watch("value", () => window.neatlabKeepLayers(JSON.parse(props.value)));'
CHOOSE_LAYER = "(layer) => window.neatlabChooseLayer(layer)"
LINK_LAYER = "(layer) => window.neatlabSetLink({layer})"
LINK_STEP = "(at) => window.neatlabLinkStep(at)"
MOVED = "(at) => window.neatlabMoved(at)"
KEEP_FORM = """(...values) => {{
  window.neatlabForm = {{ table: {table}, names: {names}, values }};
  document.dispatchEvent(new Event("neatlab-form"));
}}"""
SKETCHED = ("method", "rank", "depth", "orientation")  # what the shapes of an arm's matrices follow from
FIRST_METHODS = ("lora", "neat", "", "")  # of the arms in a fresh form


class TrainTab(Tab[TrainLink]):
    """Form on the left; status, charts and table on the right."""

    name: ClassVar[str] = "train"
    title: ClassVar[str] = "Train"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._windows: Windows[TrainWindow] = Windows(lambda: TrainWindow(Feed(context.store.root)))
        with gr.Row(elem_classes=["controls"]):
            self._lay_controls()
        with gr.Row(elem_classes=["lab"]):
            with gr.Column(scale=1, min_width=240, elem_classes=["settings"]):
                run = run_controls()
                self._data = DataForm(context, run)
                arms = [arm_controls(part, method) for part, method in zip(PARTS, FIRST_METHODS, strict=True)]
            with gr.Column(scale=3, min_width=320, elem_classes=["results"]):
                self._lay_results()
        self._form = Form.of(run, self._data.part, *arms)
        self._handlers = Handlers(context, self._windows, [*self._form.fields], [*self._form.messages], context.tasks)
        self.controls = {"scrub": [self._scrub], "command": [self._command], **self._form.groups}

    def _lay_controls(self) -> None:
        with gr.Row(elem_classes=["actions"]):
            # Train and Step wait for the page's link: what they train must be what it says.
            self._train = gr.Button("Train", variant="primary", interactive=False, elem_id="train", min_width=60)
            self._pause = gr.Button("Pause", interactive=False, elem_id="pause", min_width=60)
            self._step = gr.Button("Step", interactive=False, elem_id="step", min_width=60)
            self._stop = gr.Button("Stop", interactive=False, elem_id="stop", min_width=60)
            self._reset = gr.Button("Reset", elem_id="reset", min_width=60)
            replay = gr.Button("Replay", elem_id="replay", min_width=60)
            self._find_out = gr.Button(
                "Find out", elem_id="find-out", elem_classes=["unseen"]
            )  # pressed by the status's
        replay.click(None, None, None, js="() => window.neatlabReplay()")
        with gr.Row(elem_classes=["scrub"]) as self._scrub:
            self._at = gr.Slider(0, 1, 0, step=1, label="step shown", elem_id="at", interactive=True)
            self._layer = gr.Dropdown([], label="layer of ΔW", elem_id="layer", interactive=True)
            self._arm = gr.Dropdown([], label="map of", elem_id="map-arm", interactive=True)
        self._status = gr.HTML(READY, js_on_load=SCRIPT, elem_id="status", apply_default_css=False)

    def _lay_results(self) -> None:
        self._charts = live_plot(*(row.chart for row in CHARTS))
        self._others = gr.HTML("{}", js_on_load=KEEP_LAYERS, apply_default_css=False, elem_classes=["unseen"])
        self._table = gr.HTML(NO_TABLE, elem_id="summary", apply_default_css=False)
        self._take = TakeAway(self.context, self._windows)
        self._command = gr.HTML(NOTE, elem_id="command", apply_default_css=False)

    @property
    def link_inputs(self) -> list[Component]:
        return list(self._form.fields.values())

    @property
    def link_outputs(self) -> list[Block]:
        return [*self._form.blocks, *self._data.link_blocks]

    def write_link(self, values: list[Any], session: str | None) -> dict[str, Any]:
        form, window = dict(zip(self._form.fields, values, strict=True)), self._windows.get(session)
        view = {"layer": window.view.layer, "at": window.view.at, "watch": window.watched}
        arms = [text for part in PARTS if (text := arm_text(part, form))]
        data = self.context.upload_name(session, form["task"])
        if form["task"] not in task_choices().values():
            form["task"] = None  # an upload is this window's alone
        return {n: form[n] for n in SETTINGS} | {"data": data, "arm": arms} | view

    def read_link(self, link: TrainLink, session: str | None) -> list[Any]:
        said = link.said()
        fields: dict[str, Any] = {name: said[name] for name in SETTINGS if name in said}
        if link.arm:
            fields |= arm_fields(link.arm)
        window = self._windows.get(session)
        window.view = ViewState(link.layer, link.at)
        form = self._form.updates(fields)
        if link.watch is not None:
            watch(window, self.context, link.watch)
        elif said.keys() & {"arm", *SETTINGS} and link.data is None:
            resume(window, self.context, read_form(self._form.defaults | fields))
        return [*form, *self._data.linked(link.data)]

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers."""
        self._connect_buttons()
        self._connect_view()
        self._connect_sketch()
        self._data.connect(demo)
        self._take.connect()
        demo.unload(self._handlers.close)

    @property
    def _shown(self) -> list[Any]:
        """What an update changes."""
        return [self._status, self._charts, self._others, self._table, self._at]

    def _connect_buttons(self) -> None:
        handlers, fields, shown = self._handlers, list(self._form.fields.values()), self._shown
        messages = list(self._form.messages.values())
        begun = [self._status, *messages, self._command]
        self.link_events = [self._train.click, self._step.click]  # a training must be there again after a reload
        for button, handler in ((self._train, handlers.begin), (self._step, handlers.begin_step)):
            followed = button.click(handler, fields, begun, **LIGHT).then(handlers.follow, None, shown, **LONG)
            followed.then(handlers.mistakes, None, messages, **LIGHT)  # what was noticed as the training began
        asked = self._find_out.click(handlers.find_out, None, messages, **LIGHT)
        asked.then(handlers.follow, None, shown, **LONG)
        self._pause.click(handlers.send("pause"), None, self._pause, **LIGHT)
        self._stop.click(handlers.send("stop"), None, self._stop, **LIGHT)
        self._reset.click(handlers.clear, None, [*begun, *shown[1:]], **LIGHT)

    def _connect_view(self) -> None:
        handlers, shown = self._handlers, self._shown
        newest: dict[str, Any] = LIGHT | {"trigger_mode": "always_last"}
        self.restored = [(handlers.follow, None, shown, LONG)]
        self._status.tick(handlers.refresh, None, shown, **LONG)
        self._status.retry(handlers.follow, None, shown, **LONG)
        # Asked for by the script itself: an event of Gradio's page would cost it more than what it has drawn.
        api(handlers.has_drawn, api_name="drawn", api_visibility="undocumented", queue=False)
        buttons = [self._train, self._pause, self._step, self._stop]
        lists = [self._layer, self._arm]
        self._status.submit(in_order(handlers.controls), lists, [*buttons, *lists], **newest, **UNCHECKED)
        # `input`, not `change`: what the server fills in is nobody's choice.
        for name, control, js in (("layer", self._layer, None), ("arm", self._arm, None), ("at", self._at, MOVED)):
            # By a follower who takes over from the other: two who draw at once would overtake each other. Where one of
            # the same control is about to end, another comes after it: it may not look at what is chosen again.
            choose = in_order(handlers.choose(name), late=lambda: None)
            chosen = control.input(choose, control, None, js=js, **newest)
            chosen.then(handlers.follow, None, shown, trigger_mode="always_last", **LONG)
        # The link of these in the browser: the other way asks after a hundred values.
        self._layer.change(None, self._layer, None, js=CHOOSE_LAYER)
        self._layer.input(None, self._layer, None, js=LINK_LAYER)
        self._at.input(None, self._at, None, js=LINK_STEP)

    def _connect_sketch(self) -> None:
        """The form's shapes as it is filled, in the browser alone."""
        names = ["task", *(f"{part}.{name}" for part in PARTS for name in SKETCHED)]
        fields: list[Any] = [self._form.fields[name] for name in names]
        script = KEEP_FORM.format(table=orjson.dumps(sketch_table()).decode(), names=orjson.dumps(names).decode())
        gr.on([field.change for field in fields], None, fields, None, js=script)
        self.restored.append((None, fields, None, {"js": script}))

"""The Understand tab: the equations with live numbers, the knobs, "contains LoRA", cards for a class."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gradio as gr

from neatlab import plots
from neatlab.dashboard.shared.choices import task_choices
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.entries import CONTAINS
from neatlab.dashboard.shared.follow import follow
from neatlab.dashboard.shared.html import doing, mistake
from neatlab.dashboard.shared.in_order import in_order
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.live_plot import Chart, live_plot, shown
from neatlab.dashboard.shared.tab import LIGHT, LONG, UNCHECKED, Tab, message_slot
from neatlab.dashboard.understand.cards import CARDS, revealed
from neatlab.dashboard.understand.equations import side_by_side, with_equations
from neatlab.dashboard.understand.link import UnderstandLink
from neatlab.dashboard.understand.request import ContainsOrder, Layer, LayerSizes
from neatlab.dashboard.understand.shapes import keep_sizes, lay_sizes
from neatlab.dashboard.understand.steps import STEPS
from neatlab.dashboard.understand.words import FREE, PROPOSITION, construction, heading, hints, knobs
from neatlab.errors import BadInput

START = LayerSizes()
NEXT = "Next step"
AGAIN = "From the start"
# Link parameter → value at the start, which a link need not say.
FIELDS: dict[str, Any] = {
    "d_in": START.d_in,
    "d_out": START.d_out,
    "rank": START.rank,
    "maps": START.depth,
    "side": START.orientation,
    "sigma": START.activation,
    "contains": "digits",
    "contains_rank": 4,
}


@dataclass
class UnderstandWindow:
    """What one browser window has constructed.

    Args:
        rank: The LoRA's rank.
        layers: What came out, layer by layer.
        layer: The one that is shown; the first where it is none of theirs.
        shown: How many steps are shown.
    """

    rank: int = 0
    layers: list[Layer] = field(default_factory=list)
    layer: str | None = None
    shown: int = 1


class UnderstandTab(Tab[UnderstandLink]):
    """For a class."""

    name: ClassVar[str] = "understand"
    title: ClassVar[str] = "Understand"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._windows: Windows[UnderstandWindow] = Windows(UnderstandWindow)
        self._lay_sizes()
        self._lay_knobs()
        self._lay_contains()
        self._lay_cards()
        _heading("Where to look next")
        gr.HTML(hints(), apply_default_css=False, elem_id="understand-hints")
        self.fields = dict(zip(FIELDS, [*self._sizes, self._task, self._rank], strict=True))

    def _lay_sizes(self) -> None:
        _heading("One layer, two methods")
        self._sizes = lay_sizes(START)
        self._size_message = message_slot("size-message")
        self._equations = with_equations(side_by_side(START), "equations")
        with gr.Row(elem_classes=["charts"]):
            self._lines = live_plot(Chart("size-lines", "Parameters over the rank", "A line a method.", 260))
            self._curve = live_plot(Chart("size-curve", "The activation", "σ(x) around zero.", 260))

    def _lay_knobs(self) -> None:
        _heading("What each knob does")
        gr.HTML(knobs(), apply_default_css=False, elem_id="understand-knobs")

    def _lay_contains(self) -> None:
        _heading("NEAT contains LoRA")
        with_equations(PROPOSITION, "proposition")
        with gr.Row(elem_id="contains", elem_classes=["understand-fields"]):
            self._task = gr.Dropdown(
                list(task_choices().items()), value=FIELDS["contains"], label="task", elem_id="contains-task"
            )
            self._rank = gr.Number(
                FIELDS["contains_rank"], label="LoRA's rank r", precision=0, elem_id="contains-rank", min_width=90
            )
            self._layer = gr.Dropdown([], label="layer", elem_id="contains-layer", interactive=True)
            self._construct = gr.Button("Construct", variant="primary", elem_id="contains-start", min_width=110)
        self._contains_message = message_slot("contains-message")
        self._construction = with_equations(FREE, "contains-found")
        self._next = gr.Button(NEXT, elem_id="contains-next", size="sm", interactive=False)

    def _lay_cards(self) -> None:
        _heading("Predict, then reveal")
        self._cards: list[tuple[gr.Radio, gr.Button, gr.HTML]] = []
        with gr.Row(elem_classes=["cards"]):
            for index, card in enumerate(CARDS):
                with gr.Group(elem_classes=["card"]):
                    choice = gr.Radio(list(card.choices), label=card.question, elem_id=f"card-{index}")
                    button = gr.Button("Reveal", size="sm", elem_id=f"reveal-{index}")
                    answer = gr.HTML("", elem_id=f"answer-{index}", elem_classes=["judged"], apply_default_css=False)
                self._cards.append((choice, button, answer))

    def write_link(self, values: list[Any], session: str | None) -> dict[str, Any]:
        said = super().write_link(values, session)
        return {name: value for name, value in said.items() if value != FIELDS[name]}

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers. Gradio checks no values: the orders say what is wrong."""
        raw, size = LIGHT | UNCHECKED, in_order(_size)
        sized = [self._size_message, self._equations, self._lines, self._curve]
        gr.on([control.input for control in self._sizes], size, self._sizes, sized, trigger_mode="always_last", **raw)
        script: dict[str, Any] = {"js": keep_sizes()}
        changes = [control.change for control in self._sizes]
        gr.on(changes, None, self._sizes, None, trigger_mode="multiple", **script)
        self.restored = [(size, self._sizes, sized, raw), (None, self._sizes, None, script)]
        self._connect_contains(raw)
        for index, (choice, button, answer) in enumerate(self._cards):
            button.click(_reveal(index), choice, answer, **raw)
        demo.unload(self._close)

    def _connect_contains(self, raw: dict[str, Any]) -> None:
        shown = [self._construction, self._next]
        asked = [self._contains_message, *shown, self._layer, self._construct]
        self._construct.click(self._contains, [self._task, self._rank], asked, **UNCHECKED, **LONG)
        self._layer.input(self._show_layer, self._layer, shown, **raw)
        self._next.click(self._show_next, None, shown, **raw)

    async def _contains(self, request: gr.Request, task: Any, rank: Any) -> AsyncIterator[list[Any]]:
        """Construct in a process, and wait for it."""
        window = self._windows.get(request.session_hash)
        try:
            order = ContainsOrder.check(task, rank)
            job = self.context.jobs.find(CONTAINS, order) or self.context.jobs.submit(
                CONTAINS, order, brief=True, visitor=self.context.visitors.of(request.session_hash)
            )
        except BadInput as error:
            yield [mistake(str(error)), *_shown(window), gr.update(), gr.update()]
            return
        async for position in follow(self.context.jobs, job):  # another window may follow it too: it is not stopped
            text = "Waiting for a free place." if position else "Constructing."
            yield ["", doing(text), gr.update(interactive=False), gr.update(), gr.update(interactive=False)]
        yield _ended(window, job, order.rank)

    def _show_layer(self, layer: Any, request: gr.Request) -> list[Any]:
        window = self._windows.get(request.session_hash)
        window.layer = str(layer)
        return _shown(window)

    def _show_next(self, request: gr.Request) -> list[Any]:
        window = self._windows.get(request.session_hash)
        window.shown = window.shown % STEPS + 1
        return _shown(window)

    def _close(self, request: gr.Request) -> None:
        self._windows.end(request.session_hash)


def _heading(text: str) -> None:
    gr.HTML(heading(text), apply_default_css=False, elem_classes=["understand-heading"])


def _size(*values: Any) -> list[Any]:
    """The equations of the layer; a layer that cannot be leaves the page as it was at the start."""
    try:
        sizes, message = LayerSizes.check(*values), ""
    except BadInput as error:
        sizes, message = START, mistake(f"{error}. Shown: the layer at the start.")
    return [message, side_by_side(sizes), _lines(sizes), _curve(sizes)]


def _lines(sizes: LayerSizes) -> str:
    highest = min(sizes.limit, max(2 * sizes.rank, 2 * sizes.neat_rank, 8))
    data = plots.size_data({"LoRA": sizes.lora_at, "NEAT": sizes.neat_at}, highest)
    figure = plots.size_curves(data, [("LoRA", sizes.rank), ("NEAT", sizes.rank)]).update_layout(uirevision=str(sizes))
    ratio = sizes.neat / sizes.lora
    return shown(figure, f"At rank {sizes.rank}: LoRA {sizes.lora:,}, NEAT {sizes.neat:,}, {ratio:.2f} times as many.")


def _curve(sizes: LayerSizes) -> str:
    name, data = sizes.activation, plots.function_data(sizes.activation)
    ends = f"{name}({data.x[0]:g}) = {data.y[0]:.2f}, {name}({data.x[-1]:g}) = {data.y[-1]:.2f}"
    return shown(plots.function_curve(name), f"{ends}. NEAT's f applies it between its matrices, to each entry.")


def _ended(window: UnderstandWindow, job: Job, rank: int) -> list[Any]:
    """What a process has constructed, or why it has not."""
    if job.result is None:
        reason = str(job.refusal or "it was stopped; press Construct again")
        return [mistake(reason), *_shown(window), gr.update(), gr.update(interactive=True)]
    layers = [Layer.parse(layer, "the construction") for layer in job.result]
    window.rank, window.layers, window.layer, window.shown = rank, layers, None, 1
    names = [layer.name for layer in layers]
    return ["", *_shown(window), gr.update(choices=names, value=names[0]), gr.update(interactive=True)]


def _shown(window: UnderstandWindow) -> list[Any]:
    """The steps so far on the chosen layer, and the button for the next."""
    if not window.layers:
        return [FREE, gr.update(interactive=False)]
    page = construction(window.layers, window.layer, window.rank, window.shown)
    name = f"{NEXT} ({window.shown + 1} of {STEPS})" if window.shown < STEPS else AGAIN
    return [page, gr.update(value=name, interactive=True)]


def _reveal(index: int) -> Any:
    def reveal(predicted: Any) -> str:
        return revealed(index, predicted)

    return reveal

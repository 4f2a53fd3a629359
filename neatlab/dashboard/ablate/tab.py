"""The Ablate tab: a grid of one arm's settings × seeds as a sweep that one can watch, stop and resume."""

from typing import Any, ClassVar

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from neatlab.dashboard.ablate.form import SweepForm, written_link
from neatlab.dashboard.ablate.handlers import MORE_SEEDS, Handlers
from neatlab.dashboard.ablate.link import AblateLink
from neatlab.dashboard.ablate.verdict import NO_DECISION, NO_VERDICT
from neatlab.dashboard.ablate.view import INTRO, INVITATION
from neatlab.dashboard.shared.choices import task_choices
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.live_plot import Chart, live_plot
from neatlab.dashboard.shared.tab import LIGHT, LONG, UNCHECKED, Tab, in_one_queue

AUTO = "() => 'auto'"
SEEDS_ON_BUTTON = "(label) => parseInt(label) || 'auto'"


class AblateTab(Tab[AblateLink]):
    """Sweeps from the page: form on the left; status, decision, grid, intervals and table on the right."""

    name: ClassVar[str] = "ablate"
    title: ClassVar[str] = "Ablate"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        gr.HTML(INTRO, apply_default_css=False, elem_classes=["ablate-intro"])
        with gr.Row(elem_classes=["lab"]):
            with gr.Column(scale=1, min_width=240, elem_classes=["settings"]):
                self._form = SweepForm()
            with gr.Column(scale=3, min_width=320, elem_classes=["results"]):
                self._lay_results()
        self.fields = self._form.fields
        self.handlers = Handlers(context, self._form)

    def _lay_results(self) -> None:
        with gr.Row(elem_classes=["actions"]):
            self._start = gr.Button("Start", variant="primary", elem_id="ablate-start", min_width=90)
            self._stop = gr.Button("Stop", interactive=False, elem_id="ablate-stop", min_width=90)
            # What next, once all runs are there.
            self._more_seeds = gr.Button(MORE_SEEDS, interactive=False, elem_id="ablate-more-seeds", min_width=90)
            self._tune = gr.Button("Tune rates", interactive=False, elem_id="ablate-tune", min_width=90)
        self._status = gr.HTML(INVITATION, elem_id="ablate-status", apply_default_css=False)
        self._run_count = gr.HTML("", elem_id="ablate-outlook", apply_default_css=False)
        self._decision = gr.HTML(NO_DECISION, elem_id="ablate-decision", apply_default_css=False)
        self._grid = gr.HTML("", elem_id="ablate-grid", apply_default_css=False)
        self._scores = live_plot(
            Chart("ablate-scores", "Arms", "Mean and 95 % interval of each arm.", 480, term="interval")
        )
        self._verdict = gr.HTML(
            NO_VERDICT, elem_id="ablate-verdict", elem_classes=["verdicts"], apply_default_css=False
        )
        self._command = gr.HTML("", elem_id="ablate-command", apply_default_css=False)

    @property
    def link_outputs(self) -> list[Block]:
        return self._form.linked

    def read_link(self, link: AblateLink, session: str | None) -> list[Any]:
        filled = self._form.read_link(link)
        self.handlers.fill(session)
        return filled

    def write_link(self, values: list[Any], session: str | None) -> dict[str, Any]:
        parameters = written_link(dict(zip(self.fields, values, strict=True)))
        is_upload = parameters["ablate_task"] in self.context.tasks(session)
        return parameters | ({"ablate_task": None} if is_upload else {})  # it is this window's alone

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers. Gradio checks no values: `SweepOrder.check` says what is wrong next to the field."""
        handlers, shown = self.handlers, self._shown
        fields: list[Component] = list(self.fields.values())
        # "multiple": a new follower replaces the one before, which would otherwise keep it waiting.
        newest: dict[str, Any] = LONG | UNCHECKED | in_one_queue(self.name)
        gr.on(self._form.changed, handlers.look, fields, shown, **newest)
        self._form.switched(handlers.look, fields, shown, **newest)
        # For a press too: the follower of the press before may still be sending its last words.
        self._start.click(handlers.begin, fields, shown, **newest)
        for button, field, value in ((self._more_seeds, "seeds", SEEDS_ON_BUTTON), (self._tune, "rates", AUTO)):
            asked = button.click(None, button, self.fields[field], js=value)
            asked.then(handlers.begin, fields, shown, **newest)
        self.link_events = [self._more_seeds.click, self._tune.click]
        self.restored = [(handlers.restore, fields, shown, newest)]
        self.selected = [(self._tasks, self.fields["ablate_task"])]
        self._form.connect()
        self._stop.click(handlers.end, None, self._stop, **LIGHT)
        demo.unload(handlers.close)

    @property
    def _shown(self) -> list[Any]:
        """What an update changes, in the order of `Handlers`."""
        about = [self._run_count, self._command, self._status, self._decision, self._grid, self._scores, self._verdict]
        buttons = [self._start, self._stop, self._more_seeds, self._tune]
        return [*self._form.messages.values(), *about, *buttons]

    def _tasks(self, request: gr.Request) -> Any:
        """The list of tasks, with what the window has brought."""
        return gr.update(choices=[*task_choices().items(), *self.context.uploaded(request.session_hash)])

"""The Ablate tab's form: what is swept."""

from typing import Any

import gradio as gr
from gradio.components import Component

from neatlab.adapters.activations import COMPARED
from neatlab.dashboard.ablate.request import DEPTHS, MAX_FIXED_SEEDS
from neatlab.dashboard.shared.choices import UPLOADED, offered_task, task_choices
from neatlab.dashboard.shared.tab import LIGHT, message_slot
from neatlab.tasks import TASKS

COUNTS: list[tuple[str, str | int | float]] = [(str(count), count) for count in range(1, MAX_FIXED_SEEDS + 1)]
SEEDS = [*COUNTS, ("until it is decided", "auto")]


class SweepForm:
    """Task, base arm, depths, activations, seeds and steps.

    Attributes:
        fields: Link parameter → field, in the order of `SweepOrder.check`.
        messages: Field of a refusal → slot for its message.
    """

    def __init__(self) -> None:
        self.messages: dict[str, gr.HTML] = {}
        task = gr.Dropdown(list(task_choices().items()), value="digits", label="task", elem_id="ablate-task")
        base = gr.Textbox(
            "neat:rank=4", label="base arm", info="what the grid varies", elem_id="ablate-base", max_lines=1
        )
        self._message("base")
        depth = gr.CheckboxGroup(
            list(DEPTHS), value=[2, 4], label="depths L", info="odd ones need residual=none", elem_id="ablate-depth"
        )
        self._message("depth")
        activation = gr.Dropdown(
            list(COMPARED),
            value=["relu", "gelu", "tanh"],
            multiselect=True,
            label="activations σ",
            elem_id="ablate-activation",
        )
        self._message("activation")
        with gr.Row(elem_classes=["fields"]):
            seeds = gr.Dropdown(SEEDS, value=3, label="seeds", elem_id="ablate-seeds", min_width=110)
            # A line of text: an empty gr.Number sends 0, and empty means the task's default.
            steps = gr.Textbox(
                "", label="steps", placeholder=_default("digits"), elem_id="ablate-steps", max_lines=1, min_width=110
            )
            margin = gr.Textbox(
                "",
                label="margin",
                placeholder=_margin("digits"),
                info="a smaller difference does not matter",
                elem_id="ablate-margin",
                max_lines=1,
                min_width=110,
            )
        self._message("run")
        self.fields: dict[str, Component] = {
            "ablate_task": task,
            "base": base,
            "depth": depth,
            "activation": activation,
            "seeds": seeds,
            "ablate_steps": steps,
            "margin": margin,
        }

    def _message(self, field: str) -> None:
        self.messages[field] = message_slot(f"ablate-message-{field}")

    @property
    def changed(self) -> list[Any]:
        """The events of a change; a gr.Textbox tells of a text that was pasted as `change` alone."""
        fields: list[Any] = list(self.fields.values())
        return [field.change if isinstance(field, gr.Textbox) else field.input for field in fields]

    def connect(self) -> None:
        """Attach the handler that the form answers alone."""
        task: Any = self.fields["ablate_task"]
        task.input(_hints, task, [self.fields["ablate_steps"], self.fields["margin"]], **LIGHT)


def _hints(task: Any) -> list[Any]:
    """The task's own number of steps and its metric's margin, as what empty fields stand for."""
    if str(task).startswith(UPLOADED):
        return [gr.update(placeholder=str(TASKS["custom"].training["steps"])), gr.update(placeholder="the metric's")]
    if task not in task_choices().values():
        return [gr.update(), gr.update()]
    return [gr.update(placeholder=_default(task)), gr.update(placeholder=_margin(task))]


def _margin(task: str) -> str:
    return f"{offered_task(task).metric.margin:g}"


def _default(task: str) -> str:
    return f"{offered_task(task).row.training['steps']}"

"""The Ablate tab's form: the arm that is varied, what is varied of it, and what it is held against."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from neatlab.adapters.methods import METHODS
from neatlab.dashboard.ablate.link import AblateLink
from neatlab.dashboard.shared.arm_form import arm_controls, arm_title
from neatlab.dashboard.shared.arm_values import arm_text, written_arm
from neatlab.dashboard.shared.choices import UPLOADED, offered_task, task_choices
from neatlab.dashboard.shared.tab import LIGHT, message_slot
from neatlab.dashboard.sweeps.axes import AXES, FIRST, MORE, has_axis, offered
from neatlab.dashboard.sweeps.limits import MAX_FIXED_SEEDS
from neatlab.dashboard.sweeps.request import SweepOrder
from neatlab.tasks import TASKS, TaskSpec

COUNTS: list[tuple[str, str | int | float]] = [(str(count), count) for count in range(1, MAX_FIXED_SEEDS + 1)]
SEEDS = [*COUNTS, ("until it is decided", "auto")]
RATES = [("the task's", ""), ("tuned per arm", "auto")]
TO_VARY = arm_title("To vary, of the base arm")
SAME_RANK = ("LoRA of the same rank", "")
FIRST_TASK, FIRST_METHOD = "digits", "neat"
FIRST_VALUES: dict[str, list[Any]] = {"depth": ["2", "4"], "activation": ["relu", "gelu", "tanh"]}
SETTINGS = ("seeds", "steps", "margin", "rates")
PLAIN = ("ablate_task", "reference", "rates", "seeds", "ablate_steps", "margin")  # link parameters with one field each


class SweepForm:
    """Task, base arm, axes, reference, learning rates, seeds, steps and margin.

    Attributes:
        fields: Name → field: "ablate_task", "base.method", "base.rank", …, "axis.depth", …, "seeds", …
        messages: Field of a refusal → slot for its message.
    """

    def __init__(self) -> None:
        self.messages: dict[str, gr.HTML] = {}
        self.fields: dict[str, Component] = {}
        with gr.Group(elem_classes=["run"]):
            self.fields["ablate_task"] = gr.Dropdown(
                list(task_choices().items()), value=FIRST_TASK, label="task", elem_id="ablate-task"
            )
        self.base = arm_controls("base", FIRST_METHOD, "Base arm")
        self.fields |= self.base.fields
        self.messages["base"] = self.base.messages["base"]
        with gr.Group(elem_classes=["run"]):
            self._lay_axes()
        with gr.Group(elem_classes=["run"]):
            self._lay_settings()

    def _lay_axes(self) -> None:
        gr.HTML(TO_VARY, apply_default_css=False)
        for name in FIRST:
            self.fields[f"axis.{name}"] = _axis(name)
            self._message(name)
        with gr.Accordion("More to vary", open=False, elem_id="ablate-more") as self._more:
            for name in MORE:
                self.fields[f"axis.{name}"] = _axis(name)
        self._message("axes")

    def _lay_settings(self) -> None:
        methods = [(f"{row.title} of the same rank", name) for name, row in METHODS.items() if name != "lora"]
        self.fields["reference"] = gr.Dropdown(
            [SAME_RANK, *methods],
            value="",
            allow_custom_value=True,
            label="reference, or any arm as lora:rank=8",
            elem_id="ablate-reference",
        )
        self._message("reference")
        with gr.Row(elem_classes=["fields"]):
            rates = gr.Dropdown(RATES, value="", label="rate and scaling", elem_id="ablate-rates", min_width=110)
            seeds = gr.Dropdown(SEEDS, value=3, label="seeds", elem_id="ablate-seeds", min_width=110)
            # A line of text: an empty gr.Number sends 0, and empty means the task's default.
            steps = _line("steps", _steps(FIRST_TASK), "steps")
            margin = _line("margin", _margin(FIRST_TASK), "margin that matters")
        self.fields |= {"rates": rates, "seeds": seeds, "ablate_steps": steps, "margin": margin}
        self._message("run")

    def _message(self, field: str) -> None:
        self.messages[field] = message_slot(f"ablate-message-{field}")

    @property
    def changed(self) -> list[Any]:
        """The events of a change; a gr.Textbox tells of a text that was pasted as `change` alone."""
        fields: list[Any] = [field for name, field in self.fields.items() if name != "base.method"]
        return [field.change if isinstance(field, gr.Textbox) else field.input for field in fields]

    @property
    def switched(self) -> Any:
        """What follows the choice of another method for the base arm, whose options are then shown."""
        return self.base.switched["base"].then

    def connect(self) -> None:
        """Attach the handlers that the form answers alone."""
        fields: dict[str, Any] = self.fields
        task, method = fields["ablate_task"], fields["base.method"]
        task.input(_hints, task, [fields["ablate_steps"], fields["margin"]], **LIGHT)
        axes = [fields[f"axis.{name}"] for name in AXES]
        for changed in (task, method):
            changed.input(_axis_updates, [task, method], axes, **LIGHT)

    def order(self, values: Sequence[Any], uploads: Mapping[str, TaskSpec]) -> SweepOrder:
        """Check the form.

        Args:
            values: Of `fields`.
            uploads: Key → task, of what the window has brought.

        Raises:
            FieldError: Something cannot be run; says where.
        """
        form = dict(zip(self.fields, values, strict=True))
        axes = {name: form[f"axis.{name}"] for name in AXES}
        settings = {"seeds": form["seeds"], "steps": form["ablate_steps"]}
        settings |= {name: form[name] for name in ("margin", "rates")}
        return SweepOrder.check(form["ablate_task"], arm_text("base", form), axes, settings, form["reference"], uploads)

    @property
    def linked(self) -> list[Block]:
        """What a link updates."""
        return [
            *(self.fields[name] for name in PLAIN),
            *(self.fields[f"axis.{n}"] for n in AXES),
            *self.base.blocks,
            self._more,
        ]

    def read_link(self, link: AblateLink) -> list[Any]:
        """Updates of `linked`.

        Raises:
            BadInput: An axis, value or arm that the tab does not have.
        """
        said, axes = link.said(), link.axes()
        base = written_arm("base", link.base) if link.base else {}
        method, task = base.get("base.method", FIRST_METHOD), said.get("ablate_task", FIRST_TASK)
        shown = _axis_updates(task, method)
        filled = [
            {**update, "value": axes[name]} if name in axes else update
            for name, update in zip(AXES, shown, strict=True)
        ]
        hints = dict(zip(("ablate_steps", "margin"), _hints(task), strict=True))
        plain = [{**hints.get(name, gr.update()), **({"value": said[name]} if name in said else {})} for name in PLAIN]
        more = gr.update(open=True) if link.grid else gr.update()
        return [*plain, *filled, *self.base.updates(base), more]


def written_link(form: Mapping[str, Any]) -> dict[str, Any]:
    """Link parameter → value.

    Args:
        form: Name of a field → its value.
    """
    method, task = form["base.method"], _task_name(form["ablate_task"])
    axes = {name: form[f"axis.{name}"] or [] for name in AXES if has_axis(name, method, task)}
    grid = [f"{name}={','.join(map(str, axes[name]))}" for name in MORE if axes.get(name)]
    # An axis without values says the base arm's own one: left out, it would stand for those of a fresh form.
    first = {name: axes[name] or [form[f"base.{name}"]] for name in FIRST if name in axes}
    return {name: form[name] for name in PLAIN} | {"base": arm_text("base", form), "grid": grid, **first}


def _axis(name: str) -> Component:
    row = AXES[name]
    settings: dict[str, Any] = {
        "value": FIRST_VALUES.get(name, []),
        "label": row.label,
        "elem_id": f"ablate-{name}",
        "visible": has_axis(name, FIRST_METHOD, FIRST_TASK),
    }
    values = [str(value) for value in row.offered]
    if name == "depth":
        return gr.CheckboxGroup(values, **settings)
    return gr.Dropdown(values, multiselect=True, allow_custom_value=row.typed, **settings)


def _axis_updates(task: Any, method: Any) -> list[Any]:
    """Shows the axes that the base arm and the task have."""
    name = _task_name(task)
    return [
        gr.update(visible=has_axis(axis, str(method), name), choices=[str(value) for value in offered(axis, name)])
        for axis in AXES
    ]


def _task_name(task: Any) -> str:
    return offered_task(task).name if task in task_choices().values() else "custom"


def _line(name: str, placeholder: str, label: str) -> gr.Textbox:
    return gr.Textbox("", label=label, placeholder=placeholder, elem_id=f"ablate-{name}", max_lines=1, min_width=110)


def _hints(task: Any) -> list[Any]:
    """The task's own number of steps and its metric's margin, as what empty fields stand for."""
    if str(task).startswith(UPLOADED):
        return [gr.update(placeholder=str(TASKS["custom"].training["steps"])), gr.update(placeholder="the metric's")]
    if task not in task_choices().values():
        return [gr.update(), gr.update()]
    return [gr.update(placeholder=_steps(task)), gr.update(placeholder=_margin(task))]


def _margin(task: str) -> str:
    spec = offered_task(task)
    options = spec.row.options.model_validate(dict(spec.options))  # not parsed: that asks for the model
    return f"{spec.row.metric_for(options).margin:g}"


def _steps(task: str) -> str:
    return f"{offered_task(task).row.training['steps']}"

"""The form: fields of an arm made from the METHODS table, and those of the run."""

import types
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import gradio as gr
from pydantic.fields import FieldInfo

from neatlab.adapters.hidden import activation_names
from neatlab.adapters.methods import METHODS
from neatlab.dashboard.form import TASK_CHOICES, option_names
from neatlab.dashboard.words import equation
from neatlab.lab import parse_task
from neatlab.tasks import TASKS

MAIN = ("rank", "depth", "activation")  # the others are under "More options"
LABELS = {
    "rank": "rank r",
    "depth": "depth L",
    "activation": "activation σ",
    "alpha": "alpha α (empty: r)",
    "scaling": "scaling s",
    "frequency": "frequency ω (sin only)",
}
INFO = {"depth": "linear maps; even with paired residuals"}


class Form(NamedTuple):
    """Fields by name, and the slots for messages."""

    fields: dict[str, gr.components.Component]
    messages: dict[str, gr.HTML]


def arm_controls(part: str, method: str, form: Form) -> None:
    """One arm's fields, added to `form` as "a.method", "a.rank", …; those of other methods are hidden."""
    title = f'<h2 class="arm-title"><span class="swatch swatch-{part}"></span>Arm {part.upper()}</h2>'
    with gr.Group(elem_classes=["arm"]):
        gr.HTML(title, apply_default_css=False)
        choices = [(row.title, name) for name, row in METHODS.items()]
        picker = gr.Dropdown(choices, value=method, label="method", elem_id=f"{part}-method")
        form.fields[f"{part}.method"] = picker
        formula = gr.HTML(equation(method), apply_default_css=False)
        form.messages[part] = message(f"message-{part}")
        options = _all_options() | METHODS[method].options.model_fields
        with gr.Row(elem_classes=["fields"]):
            _add_fields(part, method, form, [(n, options[n]) for n in MAIN])
        with gr.Accordion("More options", open=False, elem_id=f"{part}-more"), gr.Row(elem_classes=["fields"]):
            _add_fields(part, method, form, [(n, f) for n, f in options.items() if n not in MAIN])
    _show_own_fields(part, picker, formula, form)


def _add_fields(part: str, method: str, form: Form, options: Iterable[tuple[str, FieldInfo]]) -> None:
    for name, field in options:
        form.fields[f"{part}.{name}"] = _widget(part, name, field, visible=name in option_names(method))


def _widget(part: str, name: str, field: FieldInfo, visible: bool) -> gr.components.Component:
    """The field of one option, by its type in the schema; bounds are the schema's business, on the server."""
    shared: dict[str, Any] = {
        "value": field.default,
        "label": LABELS.get(name, name),
        "info": INFO.get(name),
        "visible": visible,
        "elem_id": f"{part}-{name}",
        "min_width": 110,
    }
    choices = _choices(name, field.annotation)
    if choices:
        return gr.Dropdown(choices, **shared)
    # An empty gr.Number sends 0; where empty means something, it is a line of text.
    return gr.Textbox(**shared) if field.default is None else gr.Number(**shared)


def _choices(name: str, annotation: Any) -> list[str]:
    if name == "activation":
        return activation_names()
    if get_origin(annotation) in (Union, types.UnionType):
        return []
    return [str(value) for value in get_args(annotation)] if get_origin(annotation) is Literal else []


def _show_own_fields(part: str, picker: gr.Dropdown, formula: gr.HTML, form: Form) -> None:
    names = [name.split(".")[1] for name in form.fields if name.startswith(f"{part}.") and name != f"{part}.method"]
    own = [form.fields[f"{part}.{name}"] for name in names]

    def show(method: str) -> list[Any]:
        return [equation(method), *(_fill(method, name) for name in names)]

    picker.change(show, picker, [formula, *own], queue=False, show_progress="hidden", api_name=f"fields_{part}")


def _fill(method: str, name: str) -> Any:
    """A field after the method was chosen: the method's own default, or out of sight."""
    field = METHODS[method].options.model_fields.get(name)
    return gr.update(visible=False) if field is None else gr.update(visible=True, value=field.default)


def _all_options() -> dict[str, FieldInfo]:
    return {name: field for row in METHODS.values() for name, field in row.options.model_fields.items()}


def run_controls(form: Form) -> None:
    """Task, steps, learning rate and seed."""
    choices = list(TASK_CHOICES.items())
    with gr.Group(elem_classes=["run"]):
        form.messages["run"] = message("message-run")
        form.fields["task"] = task = gr.Dropdown(choices, value="digits", label="task", elem_id="task")
        with gr.Row(elem_classes=["fields"]):
            form.fields["steps"] = steps = _number("steps", TASKS["digits"].training["steps"])
            form.fields["seed"] = _number("seed", 0)
        form.fields["lr"] = rate = gr.Textbox(
            "", label="learning rate", placeholder=_rate_hint("digits"), elem_id="lr", max_lines=1
        )
    task.change(_defaults, task, [rate, steps], queue=False, show_progress="hidden", api_name="task_defaults")


def _number(name: str, value: float) -> gr.Number:
    return gr.Number(value, label=name, elem_id=name, min_width=80)


def _defaults(text: str) -> list[Any]:
    """The task's own learning rate, as what an empty field stands for, and its number of steps."""
    training = TASKS[parse_task(text)[0]].training
    return [gr.update(value="", placeholder=_rate_hint(text)), gr.update(value=training["steps"])]


def _rate_hint(text: str) -> str:
    return f"empty: the task's default, {TASKS[parse_task(text)[0]].training['lr']:g}"


def message(name: str) -> gr.HTML:
    """A slot for one line about a mistake; empty while there is none."""
    return gr.HTML("", elem_id=name, elem_classes=["message"], apply_default_css=False)

"""The Train tab's form: fields of an arm made from the METHODS table, and those of the run."""

from typing import Any

import gradio as gr
from gradio.components import Component

from neatlab.dashboard.shared.arm_form import Form
from neatlab.dashboard.shared.choices import UPLOADED, offered_task, task_choices
from neatlab.dashboard.shared.presets import PRESETS
from neatlab.dashboard.shared.tab import message_slot, on_choice
from neatlab.dashboard.train.form import NO_MATCH
from neatlab.tasks import TASKS

OWN_SETTINGS = ""  # of the presets: none of them
# A list that the keyboard passes by says its value too: "your own settings" must open nothing.
OPEN_PRESET = """name => {
  const tour = new URLSearchParams(location.search).get("tour");
  if (name) location.search = `?preset=${name}${tour ? `&tour=${tour}` : ""}`;
}"""
MATCHES = [("as written", NO_MATCH), ("equal rank", "rank"), ("equal parameters", "params")]


def preset_control() -> gr.Dropdown:
    """Named states of this tab; choosing one opens its link."""
    choices = [("your own settings", OWN_SETTINGS), *((preset.title, name) for name, preset in PRESETS.items())]
    picker = gr.Dropdown(choices, value=OWN_SETTINGS, label="preset", elem_id="preset", interactive=True)
    picker.input(None, picker, None, js=OPEN_PRESET)
    return picker


def run_controls() -> Form:
    """Task, steps, batch, learning rate, seed and match."""
    with gr.Group(elem_classes=["run"]) as group:
        slot = message_slot("message-run")
        task = gr.Dropdown(list(task_choices().items()), value="digits", label="task", elem_id="task")
        with gr.Row(elem_classes=["fields"]) as settings:
            fields: dict[str, Component] = {
                "task": task,
                "steps": _number("steps", TASKS["digits"].training["steps"]),
                "seed": _number("seed", 0),
                "batch": _line("batch", "batch size", "task's own"),
                "lr": _line("lr", "learning rate", _rate_hint("digits")),
                "match": gr.Dropdown(MATCHES, value=NO_MATCH, label="match the arms", elem_id="match", min_width=110),
            }
    on_choice(task, task_defaults, [fields["lr"], fields["steps"]])
    return Form(fields, {"run": slot}, {"task": [task], "settings": [settings], "run": [group]}, {}, {})


def _number(name: str, value: float) -> gr.Number:
    return gr.Number(value, label=name, elem_id=name, min_width=80)


def _line(name: str, label: str, hint: str) -> gr.Textbox:
    return gr.Textbox("", label=label, placeholder=hint, elem_id=name, max_lines=1, min_width=110)


def task_defaults(text: str) -> list[Any]:
    """The task's own learning rate, as what an empty field stands for, and its number of steps."""
    if str(text).startswith(UPLOADED):
        name = "custom"
    elif text in task_choices().values():
        name = offered_task(text).name
    else:
        return [gr.update(), gr.update()]
    return [gr.update(value="", placeholder=_rate_hint(name)), gr.update(value=TASKS[name].training["steps"])]


def _rate_hint(task: str) -> str:
    return f"task's own: {TASKS[task].training['lr']:g}"

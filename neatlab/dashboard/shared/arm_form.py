"""An arm's fields, made from the METHODS table: what a form that asks for arms is put together from."""

import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from pydantic.fields import FieldInfo

from neatlab.adapters.activations import ACTIVATIONS
from neatlab.adapters.methods import METHODS
from neatlab.adapters.methods.base import EVERY_BLOCK, LINEAR, TASKS_OWN
from neatlab.dashboard.shared.arm_values import default, option_names
from neatlab.dashboard.shared.tab import message_slot, on_choice
from neatlab.dashboard.shared.terms import ask
from neatlab.plots.looks import look
from neatlab.report.markup import key
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
MAIN = ("rank", "depth", "activation")  # the others are under "More options"
NO_ARM = ("no arm", "")
LABELS = {
    "rank": "rank r",
    "depth": "depth L",
    "activation": "activation σ",
    "alpha": "alpha α (empty: r)",
    "scaling": "scaling s",
    "frequency": "frequency ω (of sin)",
    "init_weights": "start of Θ₁",
    "layers": "layers (or 4-11)",
    "modules": "modules (or a+b)",
    "lr": "learning rate (empty: shared)",
}
# The usual values of options that can have others too, which are typed.
USUAL: dict[str, Sequence[str]] = {
    "activation": list(ACTIVATIONS),
    "layers": (EVERY_BLOCK, "first", "last"),
    "modules": (TASKS_OWN, LINEAR),
}


class Form(NamedTuple):
    """A form that asks for arms, or a part of it.

    Args:
        fields: Name → field: "task", "steps", …, "a.method", "a.rank", …
        messages: Part → slot for messages.
        groups: Name in `hide=` → blocks that a lesson may hide.
        extras: Arm → its formula and its "More options".
        switched: Arm → the event after the options of a method that was chosen by hand have been shown.
    """

    fields: Mapping[str, Component]
    messages: Mapping[str, gr.HTML]
    groups: Mapping[str, list[Block]]
    extras: Mapping[str, tuple[gr.HTML, gr.Accordion]]
    switched: Mapping[str, Any]

    @classmethod
    def of(cls, *parts: "Form") -> "Form":
        """The form that these parts make."""
        return cls(
            {name: field for part in parts for name, field in part.fields.items()},
            {name: slot for part in parts for name, slot in part.messages.items()},
            {name: [b for part in parts for b in part.groups.get(name, [])] for part in parts for name in part.groups},
            {name: extra for part in parts for name, extra in part.extras.items()},
            {name: event for part in parts for name, event in part.switched.items()},
        )

    @property
    def defaults(self) -> dict[str, Any]:
        """Field → value in a fresh form."""
        return {name: getattr(field, "value", None) for name, field in self.fields.items()}

    @property
    def blocks(self) -> list[Block]:
        """What `updates` updates: the fields, then what stands next to them."""
        return [*self.fields.values(), *(block for pair in self.extras.values() for block in pair)]

    def updates(self, given: Mapping[str, Any]) -> list[Any]:
        """Updates that fill the form.

        Args:
            given: Field → value; the others stay, except that an arm shows what is its method's alone.
        """
        fields = [self._update(name, given) for name in self.fields]
        return [*fields, *(update for part in self.extras for update in _extra_updates(part, given))]

    def options(self, part: str) -> list[str]:
        """Names of the fields of an arm's options."""
        return [name for name in self.fields if name.startswith(f"{part}.") and name != f"{part}.method"]

    def arm_blocks(self, part: str) -> list[Block]:
        """What `arm_updates` updates: formula, "More options" and the options' fields."""
        return [*self.extras[part], *(self.fields[name] for name in self.options(part))]

    def arm_updates(self, part: str, given: Mapping[str, Any]) -> list[Any]:
        """Of `updates`, those of one arm, its choice of a method aside."""
        return [*_extra_updates(part, given), *(self._update(name, given) for name in self.options(part))]

    def _update(self, name: str, given: Mapping[str, Any]) -> Any:
        part, dot, option = name.partition(".")
        method = given.get(f"{part}.method")
        if not dot or option == "method" or method is None:
            return gr.update(value=given[name]) if name in given else gr.update()
        if not method or option not in option_names(method):
            return gr.update(visible=False)
        return gr.update(visible=True, value=given.get(name, default(method, option)))


def _extra_updates(part: str, given: Mapping[str, Any]) -> list[Any]:
    """An arm's formula, and its "More options": open where what differs from the defaults would be folded away."""
    method = given.get(f"{part}.method")
    if method is None:
        return [gr.update(), gr.update()]
    folded = [name for name in option_names(method) if name not in MAIN] if method else []
    differs = any(given.get(f"{part}.{name}", default(method, name)) != default(method, name) for name in folded)
    more = gr.update(visible=True, open=True) if differs else gr.update(visible=bool(method))
    return [equation(method), more]


def arm_controls(part: str, method: str, title: str = "") -> Form:
    """One arm's fields, "a.method", "a.rank", …; those of other methods are hidden.

    Args:
        part: The arm's name in the form.
        method: Its method in a fresh form; an arm that begins without one may stay so.
        title: Its heading; "Arm A" by default.
    """
    title = title or f"Arm {part.upper()}"
    with gr.Group(elem_classes=["arm"]) as group:
        gr.HTML(arm_title(title, "arm"), apply_default_css=False)
        formula = gr.HTML(equation(method), apply_default_css=False)
        options = _all_options() | (METHODS[method].options.model_fields if method else {})
        with gr.Row(elem_classes=["fields"]):
            picker = _method_picker(part, method, title)
            fields = _option_fields(part, method, {name: options[name] for name in MAIN})
        slot = message_slot(f"message-{part}")
        more = gr.Accordion("More options", open=False, elem_id=f"{part}-more", visible=bool(method))
        with more, gr.Row(elem_classes=["fields"]):
            fields |= _option_fields(part, method, {n: f for n, f in options.items() if n not in MAIN})
    groups: dict[str, list[Block]] = {"arms": [group], "more": [more]}
    form = Form({f"{part}.method": picker, **fields}, {part: slot}, groups, {part: (formula, more)}, {})
    return form._replace(switched={part: _show_options_of_method(part, picker, form)})


def arm_title(text: str, term: str = "") -> str:
    """A heading of the form.

    Args:
        text: The heading.
        term: Name in TERMS of what to explain there; empty for nothing.
    """
    return str(_HTML.arm_title(text, ask(term) if term else ""))


def equation(method: str) -> str:
    """A method's marker, and what it makes of ΔW; nothing where there is none."""
    return _HTML.equation(key(look(method), line=False), METHODS[method].equation) if method else ""


def _method_picker(part: str, method: str, title: str) -> gr.Dropdown:
    choices = [(row.title, name) for name, row in METHODS.items()]
    label = f"method of {title[0].lower()}{title[1:]}"
    return gr.Dropdown(choices if method else [NO_ARM, *choices], value=method, label=label, elem_id=f"{part}-method")


def _option_fields(part: str, method: str, options: Mapping[str, FieldInfo]) -> dict[str, Component]:
    shown = option_names(method) if method else []
    return {f"{part}.{name}": _widget(part, name, field, visible=name in shown) for name, field in options.items()}


def _widget(part: str, name: str, field: FieldInfo, visible: bool) -> Component:
    """The field of one option, by its type in the schema; bounds are the schema's business, on the server."""
    shared: dict[str, Any] = {
        "value": field.default,
        "label": LABELS.get(name, name),
        "visible": visible,
        "elem_id": f"{part}-{name}",
        "min_width": 110,
    }
    if name in USUAL:
        return gr.Dropdown(list(USUAL[name]), allow_custom_value=True, **shared)
    if choices := _choices(field.annotation):
        return gr.Dropdown(choices, **shared)
    # An empty gr.Number sends 0; where empty means something, it is a line of text.
    return gr.Textbox(max_lines=1, **shared) if field.default is None else gr.Number(**shared)


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) in (Union, types.UnionType):
        return []
    return [str(value) for value in get_args(annotation)] if get_origin(annotation) is Literal else []


def _show_options_of_method(part: str, picker: gr.Dropdown, form: Form) -> Any:
    def show(method: str) -> list[Any]:
        return form.arm_updates(part, {f"{part}.method": method if method in METHODS else ""})

    # `input`, not `change`: a link that fills the form must not have its options set back.
    return on_choice(picker, show, form.arm_blocks(part))


def _all_options() -> dict[str, FieldInfo]:
    options = {name: field for row in METHODS.values() for name, field in row.options.model_fields.items()}
    return {**options, "lr": FieldInfo(annotation=float, default=None)}

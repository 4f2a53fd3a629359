"""What every tab of the page is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.links import PageLink

# Of a handler that answers at once: not queued behind trainings, no veil over the page, nothing for API users.
LIGHT: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# Of a handler that goes on for long: as many at once as there are windows.
LONG: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


def in_one_queue(name: str) -> dict[str, Any]:
    """Of handlers of which the newest call counts: Gradio begins those of one name in the order of the calls.

    Those of several names it begins in an order drawn at random.

    Args:
        name: Shared by them.
    """
    return {"concurrency_id": name, "trigger_mode": "multiple"}


# Gradio checks no values, and a list is filled while one looks: the handlers check alone and say what is wrong.
UNCHECKED: dict[str, Any] = {"preprocess": False}

# Gradio's list says `input` whenever it is left, also as it was: by whoever goes through the form with the Tab key.
_BEFORE = "(value) => { window.neatlabBefore = value; }"
_CHOSEN = """(value) => {
  const isNew = value !== window.neatlabBefore;
  window.neatlabBefore = value;
  return isNew ? value : null;
}"""


def on_choice(picker: gr.Dropdown, handler: Callable[[Any], list[Any]], outputs: Sequence[Block]) -> Any:
    """Call a handler when somebody chooses another value of a list, and not when the list is only passed by.

    Args:
        picker: The list; its values are not None.
        handler: Value → updates of `outputs`.
        outputs: What it updates.

    Returns:
        The event, which is over in either case.
    """

    def answer(value: Any) -> list[Any]:
        return [gr.skip()] * len(outputs) if value is None else handler(value)

    picker.focus(None, picker, None, js=_BEFORE)
    return picker.input(answer, picker, list(outputs), js=_CHOSEN, **LIGHT)


L = TypeVar("L", bound=PageLink)


class Tab(ABC, Generic[L]):
    """One tab; a subclass a file, one row in `page.TABS`. Made inside its `gr.Tab`, where it lays out its components.

    The type parameter is the model of what a link can say of it.

    Attributes:
        name: Its name in links: `?tab=train`.
        title: Its name for people.
        fields: Link parameter → the component that a link fills, and that writes it: the whole state of the tab.
        controls: Name in `hide=` → blocks that a lesson may hide.
        link_events: What else the link is written after. Set by `connect`.
        selected: What to fill anew when the tab is opened: function, output. Set by `connect`.
        restored: Handlers to call after a link was read: function, inputs, outputs, settings. Set by `connect`.

    Args:
        context: What the tabs share.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, context: Context) -> None:
        self.context = context
        self.fields: dict[str, Component] = {}
        self.controls: dict[str, list[Block]] = {}
        self.link_events: list[Any] = []
        self.selected: list[tuple[Any, Any]] = []
        self.restored: list[tuple[Any, Any, Any, dict[str, Any]]] = []

    @abstractmethod
    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers, when all tabs are laid out."""

    @property
    def link_inputs(self) -> list[Component]:
        """The components whose values a link is written from, and which it fills."""
        return list(self.fields.values())

    @property
    def link_outputs(self) -> list[Block]:
        """What a link updates: `link_inputs`, and what follows from their values."""
        return list(self.link_inputs)

    def write_link(self, values: list[Any], session: str | None) -> dict[str, Any]:
        """Link parameter → value.

        Args:
            values: Of `link_inputs`.
            session: The window's session hash.
        """
        return dict(zip(self.fields, values, strict=True))

    def read_link(self, link: L, session: str | None) -> list[Any]:
        """Updates of `link_outputs`.

        Args:
            link: Checked by its model; the tab checks the rest.
            session: The window's session hash.

        Raises:
            BadInput: Something that this tab cannot show.
        """
        said = link.said()
        return [gr.update(value=_plain(said[name])) if name in said else gr.update() for name in self.fields]


def message_slot(name: str) -> gr.HTML:
    """A slot for one line about a mistake; empty while there is none."""
    return gr.HTML("", elem_id=name, elem_classes=["message"], apply_default_css=False)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

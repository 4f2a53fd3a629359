"""The page: its tabs, and how a link fills and follows them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from neatlab.dashboard import api
from neatlab.dashboard.ablate.tab import AblateTab
from neatlab.dashboard.inspect.tab import InspectTab
from neatlab.dashboard.lessons import Lesson
from neatlab.dashboard.links import HIDEABLE, Link
from neatlab.dashboard.runs.tab import RunsTab
from neatlab.dashboard.shared import tour
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.html import mistake
from neatlab.dashboard.shared.in_order import in_order
from neatlab.dashboard.shared.links import write
from neatlab.dashboard.shared.live_plot import serve_plotly
from neatlab.dashboard.shared.presets import PRESETS
from neatlab.dashboard.shared.tab import LIGHT, Tab, message_slot
from neatlab.dashboard.shared.terms import glossary
from neatlab.dashboard.train.controls import OWN_SETTINGS, preset_control
from neatlab.dashboard.train.tab import TrainTab
from neatlab.dashboard.train.words import HEADER
from neatlab.dashboard.understand.tab import UnderstandTab
from neatlab.errors import BadInput, unknown
from neatlab.runtime.templates import macros

TABS: tuple[type[Tab[Any]], ...] = (TrainTab, AblateTab, RunsTab, UnderstandTab, InspectTab)
FILE_SECONDS = 3600  # that a file made for a download stays
_HTML = macros(__file__)

SCRIPTS = Path(__file__).parent
FOLLOW_LINK = "".join((SCRIPTS / name).read_text(encoding="utf-8") for name in ("calls.js", "link.js", "embed.js"))
KEYS = (SCRIPTS / "keys.js").read_text(encoding="utf-8")
TOUR = tour.script() + (SCRIPTS / "tour.js").read_text(encoding="utf-8")
SHOW_KEYS = "() => window.neatlabShowKeys()"
START_TOUR = "() => window.neatlabStartTour()"
SWITCH_THEME = "() => window.neatlabSwitchTheme()"
COPY_LINK = "() => window.neatlabCopyLink()"
EDITED = "() => window.neatlabEdited()"
OPENED = "() => { window.neatlabOpened = true; }"
QUEUE_SECONDS = 0.005  # Gradio's millisecond costs an idle page 5 % of a core
SELECT_TAB = "() => window.neatlabSetLink({{tab: '{name}'}})"


def build(context: Context, lessons: Mapping[str, Lesson] | None = None) -> gr.Blocks:
    """The dashboard, not yet served.

    Args:
        context: Runs folder and trainings.
        lessons: Name → lesson.

    Returns:
        The Gradio app.
    """
    serve_plotly()
    with gr.Blocks(title="neatlab", fill_width=True, analytics_enabled=False, delete_cache=(600, FILE_SECONDS)) as demo:
        page = _Page(context, lessons or {})
        page.connect(demo)
        api.expose(context)
    # Gradio's page keeps a state of progress for every output that was ever written, and copies the properties of all
    # of these with each update. Ours shows no progress that way: one component for all.
    for handler in demo.fns.values():
        handler.show_progress_on = [page.link]
    demo.queue(max_size=256, default_concurrency_limit=None)
    demo._queue.sleep_when_free = QUEUE_SECONDS
    return demo


class _Page:
    """Header, message, tabs and link of one page."""

    def __init__(self, context: Context, lessons: Mapping[str, Lesson]) -> None:
        self._lessons = lessons
        with gr.Row(elem_classes=["top"]):
            gr.HTML(HEADER, apply_default_css=False)
            self._preset = preset_control()
            theme = gr.Button("Theme", elem_id="theme", size="sm", min_width=70, scale=0)
            self._copy = gr.Button("Copy link", elem_id="copy-link", size="sm", min_width=90, scale=0)
        notes = _HTML.keys([kind.title for kind in TABS]) + glossary()
        gr.HTML(notes, js_on_load=KEYS, elem_id="keys", apply_default_css=False)
        theme.click(None, None, None, js=SWITCH_THEME)
        self._message = message_slot("message-page")
        self._lesson = gr.HTML(_HTML.lessons(lessons), elem_id="lesson", apply_default_css=False)
        self.link = gr.HTML(
            "", js_on_load=FOLLOW_LINK, elem_id="link", apply_default_css=False, elem_classes=["unseen"]
        )
        self._tabs = gr.Tabs(elem_id="tabs")
        self._made: dict[str, tuple[gr.Tab, Tab[Any]]] = {}
        with self._tabs:
            for kind in TABS:
                with gr.Tab(kind.title, id=kind.name, elem_id=f"tab-{kind.name}") as holder:
                    self._made[kind.name] = (holder, kind(context))
        # Below all: whoever goes to Train by the keyboard need not pass it.
        with gr.Row(elem_classes=["foot"]):
            keys = gr.Button("Keys", elem_id="show-keys", size="sm", min_width=60, scale=0)
            begin = gr.Button("Tour", elem_id="show-tour", size="sm", min_width=60, scale=0)
        gr.HTML(tour.panel("page"), js_on_load=TOUR, elem_id="tour-part", apply_default_css=False)
        keys.click(None, None, None, js=SHOW_KEYS)
        begin.click(None, None, None, js=START_TOUR)

    @property
    def _contents(self) -> list[Tab[Any]]:
        return [tab for _, tab in self._made.values()]

    @property
    def _inputs(self) -> list[Component]:
        return [component for tab in self._contents for component in tab.link_inputs]

    @property
    def _outputs(self) -> list[Block]:
        return [block for tab in self._contents for block in tab.link_outputs]

    @property
    def _hidden(self) -> dict[str, list[Any]]:
        """Name in `hide=` → blocks."""
        blocks: dict[str, list[Any]] = {name: [holder] for name, (holder, _) in self._made.items() if name in HIDEABLE}
        blocks["presets"] = [self._preset]
        for tab in self._contents:
            blocks |= tab.controls
        return {name: hidden for name, hidden in blocks.items() if name in HIDEABLE}

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers."""
        for name, (holder, tab) in self._made.items():
            tab.connect(demo)
            holder.select(None, None, None, js=SELECT_TAB.format(name=name))
            for handler, filled in tab.selected:
                holder.select(handler, None, filled, **LIGHT)
        events = [component.input for component in self._inputs]  # type: ignore[attr-defined]
        # Text that is pasted at once fires no `input`.
        events += [component.blur for component in self._inputs if isinstance(component, gr.Textbox)]
        events += [event for tab in self._contents for event in tab.link_events]
        # Not `_write` itself: where one event has two handlers of which the last call counts, Gradio's page starts both
        # again when either was called meanwhile, each of which calls the other meanwhile, and so without end.
        gr.on(events, None, None, None, js=EDITED)
        written: list[Block] = [self.link, self._preset]
        self.link.edit(in_order(self._write), self._inputs, written, trigger_mode="always_last", **LIGHT)
        self._copy.click(None, None, None, js=COPY_LINK)
        hidden = [block for blocks in self._hidden.values() for block in blocks]
        outputs = dict.fromkeys([self._message, self._lesson, self._tabs, *self._outputs, *hidden])
        opened = demo.load(self._read, None, list(outputs), **LIGHT)
        opened.then(None, None, None, js=OPENED)
        for tab in self._contents:
            for handler, inputs, shown, settings in tab.restored:
                opened.then(handler, inputs, shown, **settings)

    def _write(self, *values: Any, request: gr.Request) -> tuple[str, str]:
        """The link of what the page shows now, and the preset that it is: after an edit none."""
        parameters: dict[str, Any] = {}
        rest = list(values)
        for tab in self._contents:
            count = len(tab.link_inputs)
            parameters |= tab.write_link(rest[:count], request.session_hash)
            rest = rest[count:]
        return write(parameters), OWN_SETTINGS

    def _read(self, request: gr.Request) -> dict[Block, Any]:
        """Fill the page from its link; one that cannot be used leaves it as it is and says why."""
        try:
            link = self._whole(Link.read(request.query_params.multi_items()))
            filled = [update for tab in self._contents for update in tab.read_link(link, request.session_hash)]
        except BadInput as error:
            link, filled = Link(), [gr.update() for _ in self._outputs]
            return self._opened(link, filled, mistake(f"This link cannot be opened: {error}"))
        return self._opened(link, filled, "")

    def _whole(self, link: Link) -> Link:
        """The link with what its preset or lesson says."""
        if link.lesson is not None:
            link = link.over(Link.text(_named("lesson", link.lesson, self._lessons).link))
        if link.preset is not None:
            link = link.over(Link.text(_named("preset", link.preset, PRESETS).link))
        return link

    def _opened(self, link: Link, filled: list[Any], message: str) -> dict[Block, Any]:
        """Block → its one update: what the link hides stays hidden, whatever else the link says of it."""
        updates = {self._preset: gr.update(value=link.preset or ""), **dict(zip(self._outputs, filled, strict=True))}
        for name in link.hide or ():
            updates |= {block: {**updates.get(block, gr.update()), "visible": False} for block in self._hidden[name]}
        opened = gr.update(selected=link.tab) if link.tab else gr.update()
        return {self._message: message, self._lesson: self._story(link), self._tabs: opened, **updates}

    def _story(self, link: Link) -> str:
        lesson = self._lessons.get(link.lesson or "") or PRESETS.get(link.preset or "")
        return _HTML.lessons(self._lessons) if lesson is None else _HTML.story(lesson)


def _named(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]

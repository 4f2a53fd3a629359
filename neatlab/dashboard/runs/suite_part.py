"""The Runs tab's view of the folder's suite: ranks over tasks, by family, and each task's verdict."""

from typing import Any

import gradio as gr

from neatlab import plots
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.html import mistake
from neatlab.dashboard.shared.in_order import in_order
from neatlab.dashboard.shared.live_plot import Chart, live_plot, shown
from neatlab.dashboard.shared.tab import LIGHT
from neatlab.errors import StoreError
from neatlab.report.suite import groups_part, ranks_in_words, tasks_part
from neatlab.runs.suite import SuiteResult
from neatlab.runs.suite_record import has_record, read_suite
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
RANKS = Chart("suite-ranks", "Mean ranks", "Too few tasks with every arm for ranks to be tested.", 300, term="ranks")


class SuitePart:
    """A closed part of the tab, there where the folder has a suite; its tables are made when it is opened.

    Args:
        context: What the tabs share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        with gr.Accordion("Suite", open=False, visible=False, elem_id="suite") as self.part:
            self._groups = _tables("suite-groups")
            self._ranks = live_plot(RANKS)
            self._tasks = _tables("suite-tasks")

    def look(self) -> Any:
        """Whether there is a suite to open."""
        return gr.update(visible=has_record(self._context.store))

    def connect(self) -> None:
        """Attach the handler."""
        outputs = [self._groups, self._ranks, self._tasks]
        self.part.expand(in_order(self._show), None, outputs, trigger_mode="always_last", **LIGHT)

    def _show(self) -> list[Any]:
        try:
            read = read_suite(self._context.store)
        except StoreError as error:
            return [mistake(str(error)), None, ""]
        if read is None:
            return ["", None, ""]
        result, planned = read
        state = _HTML.state(len(result.tasks), planned)
        return [state + groups_part(result), _ranks(result), tasks_part(result)]


def _tables(name: str) -> gr.HTML:
    return gr.HTML("", elem_id=name, elem_classes=["verdicts"], apply_default_css=False)


def _ranks(result: SuiteResult) -> str | None:
    """The diagram over all tasks; None where there is nothing to test."""
    group = result.groups[-1] if result.groups else None
    if group is None or not group.ranking.is_tested:
        return None
    return shown(plots.critical_difference(result, group.ranking.arms), ranks_in_words(group))

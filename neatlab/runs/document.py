"""A comparison as plain values, which is what --json prints."""

import dataclasses
from typing import TYPE_CHECKING, Any

from neatlab.analysis.decisions import spoken
from neatlab.runs.arms import total_seconds
from neatlab.runs.frames import without_nan

if TYPE_CHECKING:
    from neatlab.runs.comparison import Comparison


def document(comparison: "Comparison") -> dict[str, Any]:
    """The whole comparison as plain values, NaN as None."""
    metric, first, decisions = comparison.metric, comparison.runs[0].config, comparison.decisions()
    return without_nan(
        {
            "task": first.task,
            "task_options": first.task_options,
            "metric": metric.name,
            "unit": metric.unit,
            "higher_is_better": metric.higher_is_better,
            "base_metric": comparison.base_metric and comparison.base_metric.name,
            "references": comparison.references,
            "decision": spoken(decisions),
            "decisions": [dataclasses.asdict(decision) for decision in decisions],
            "arms": [dataclasses.asdict(arm) for arm in comparison.arms()],
            "differences": [dataclasses.asdict(difference) for difference in comparison.differences()],
            "base_differences": [dataclasses.asdict(difference) for difference in comparison.base_differences()],
            "pareto": comparison.pareto(),
            "verdict": comparison.verdict(),
            "headline": comparison.headline(),
            "assumptions": comparison.assumptions(),
            "search": {"runs": len(comparison.search), "seconds": total_seconds(comparison.search)},
        }
    )

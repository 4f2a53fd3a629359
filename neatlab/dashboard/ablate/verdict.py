"""The verdict of a sweep: a table of its arms against the reference, and the same in sentences."""

import math
from typing import NamedTuple

from markupsafe import Markup

from neatlab.plots.looks import Look, looks
from neatlab.report.markup import breakable, key, row, table
from neatlab.report.text import HOW_TO_READ, ordered
from neatlab.runs.arms import ArmDifference, ArmResult
from neatlab.runs.comparison import Comparison
from neatlab.runtime.numbers import DASH, interval, number, p_number, signed, signed_interval
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
NO_VERDICT = _HTML.no_verdict()
LIMITS = "Every arm trained at one learning rate; with --lr auto the command line finds one for each."
HEAD = ("arm", "adapter params", "seeds", "mean", "95 % interval", "against the reference", "p corrected", "verdict")


def verdict(whole: Comparison, reference: str, total: int, complete: bool) -> str:
    """Which arm to take, and the table of all arms; judged only when all runs are there, not whenever someone looks.

    Args:
        whole: The runs that have ended.
        reference: Label of the arm that the others are held against.
        total: How many runs there will be.
        complete: Whether all of them are there.

    Returns:
        The HTML.
    """
    judged = _against(whole, reference) if complete else {}
    arms = {arm.arm: arm for arm in whole.arms()}
    shown = looks(arms)
    rows = [_row(arms[label], judged.get(label), shown[label], label == reference) for label in ordered(whole)]
    head = [whole.metric.name if name == "mean" else name for name in HEAD]
    waits = f" {len(whole.runs)} of {total} runs: differences are judged when all of them are there."
    title = _title(whole, reference) + ("" if complete else waits)
    first = breakable(whole.decision()) if complete else ""
    spoken = [breakable(text) for text in (whole.headline(), *whole.verdict()) if complete and text]
    note = f"{whole.assumptions() if complete else ''} {HOW_TO_READ} {LIMITS}"
    return _HTML.verdict(first, title, table(head, rows, "Arms of the sweep"), spoken, note)


def _title(whole: Comparison, reference: str) -> str:
    metric = whole.metric
    better = "higher is better" if metric.higher_is_better else "lower is better"
    judged = f"{metric.name} ({metric.unit}) on the test split; {better}."
    return f"Reference: {reference}, LoRA of the same rank. {judged}"


class _Against(NamedTuple):
    """How an arm differs from the reference."""

    mean: float
    low: float
    high: float
    p: float
    verdict: str


def _against(whole: Comparison, reference: str) -> dict[str, _Against]:
    """Arm → its difference from the reference, which may be written as a or as b."""
    against = {}
    for difference in whole.differences():
        low, high = difference.ci95
        if difference.b == reference:
            against[difference.a] = _Against(
                difference.mean, low, high, difference.p_holm, _word(difference, difference.a)
            )
        elif difference.a == reference:
            against[difference.b] = _Against(
                -difference.mean, -high, -low, difference.p_holm, _word(difference, difference.b)
            )
    return against


def _row(arm: ArmResult, judged: _Against | None, look: Look, is_reference: bool) -> Markup:
    ended, runs = arm.finished, len(arm.runs)
    cells = [
        number(arm.adapter_params, 0),
        f"{ended} of {runs}" if ended < runs else str(ended),
        number(arm.mean),
        interval(*arm.ci95),
        DASH if judged is None else _difference(judged),
        DASH if judged is None else p_number(judged.p),
        "reference" if is_reference else DASH if judged is None else judged.verdict,
    ]
    return row(key(look) + breakable(arm.arm), cells, "reference" if is_reference else "")


def _difference(judged: _Against) -> str:
    if not math.isfinite(judged.mean):
        return DASH
    ends = f" ({signed_interval(judged.low, judged.high)})" if math.isfinite(judged.low) else ""
    return f"{signed(judged.mean)}{ends}"


def _word(difference: ArmDifference, arm: str) -> str:
    """What is said of one of the two arms."""
    if difference.verdict == "better":
        return "better" if difference.winner == arm else "worse"
    if difference.verdict == "not-worse" and difference.winner != arm:
        return "undecided"
    return difference.verdict.replace("-", " ")

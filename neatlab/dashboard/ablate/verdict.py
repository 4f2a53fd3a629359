"""The verdict of a sweep: which arm to take, a table of its arms against the reference, and the same in sentences."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from markupsafe import Markup

from neatlab.dashboard.sweeps.snapshot import SweepSnapshot
from neatlab.plots.looks import Look, looks
from neatlab.report.markup import breakable, key, row, table
from neatlab.report.text import HOW_TO_READ, ordered
from neatlab.runs.arms import ArmDifference, ArmResult
from neatlab.runs.comparison import Comparison
from neatlab.runtime.numbers import DASH, interval, number, p_number, signed, signed_interval
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
NO_VERDICT = _HTML.no_verdict()
NO_DECISION = _HTML.no_decision()
ONE_RATE = "Every arm trained at one learning rate: another may turn the order round."
TUNED = "Learning rate and scaling of each arm are those that did best on the validation split, of the same tries."
HEAD = ("arm", "adapter params", "seeds", "mean", "95 % interval", "against the reference", "p corrected", "verdict")


class Against(NamedTuple):
    """How an arm differs from the reference.

    Args:
        mean: Its mean less the reference's.
        low: Lower end of the 95 % interval of that.
        high: Upper end.
        p: p, corrected for all comparisons.
        verdict: In a word: better, worse, as good, not worse, undecided.
    """

    mean: float
    low: float
    high: float
    p: float
    verdict: str


def against(whole: Comparison) -> dict[str, Against]:
    """Arm → its difference from the reference, which may be written as a or as b."""
    differences = {}
    for difference in whole.differences():
        low, high = difference.ci95
        if difference.b in whole.references:
            word = _word(difference, difference.a)
            differences[difference.a] = Against(difference.mean, low, high, difference.p_holm, word)
        elif difference.a in whole.references:
            word = _word(difference, difference.b)
            differences[difference.b] = Against(-difference.mean, -high, -low, difference.p_holm, word)
    return differences


def decision(seen: SweepSnapshot, whole: Comparison | None) -> str:
    """Which arm to take; judged when all runs are there, not whenever someone looks."""
    if whole is None or not seen.complete:
        return str(NO_DECISION)
    return str(_HTML.decision(breakable(whole.decision())))


def verdict(seen: SweepSnapshot, whole: Comparison, judged: Mapping[str, Against]) -> str:
    """The table of all arms.

    Args:
        seen: The sweep.
        whole: The comparison of the runs that have ended.
        judged: What `against` says; empty until all of them are there.

    Returns:
        The HTML.
    """
    arms = {arm.arm: arm for arm in whole.arms()}
    shown = looks(arms)
    rows = [_row(arms[label], judged.get(label), shown[label], label in whole.references) for label in ordered(whole)]
    head = [whole.metric.name if name == "mean" else name for name in HEAD]
    spoken = [breakable(text) for text in (whole.headline(), *whole.verdict()) if seen.complete and text]
    rates = TUNED if seen.order.rates else ONE_RATE
    note = f"{whole.assumptions() if seen.complete else ''} {HOW_TO_READ} {rates}"
    return str(_HTML.verdict(_title(seen, whole), table(head, rows, "Arms of the sweep"), spoken, note))


def _title(seen: SweepSnapshot, whole: Comparison) -> str:
    metric = whole.metric
    better = "higher is better" if metric.higher_is_better else "lower is better"
    text = f"Reference: {seen.reference}. Judged by {metric.name} ({metric.unit}) on the test split; {better}."
    waits = f" {len(whole.runs)} of {len(seen.wanted)} runs: differences are judged when all of them are there."
    return text + ("" if seen.complete else waits)


def _row(arm: ArmResult, judged: Against | None, look: Look, is_reference: bool) -> Markup:
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


def _difference(judged: Against) -> str:
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

"""Which arm of each setting to take, from the tests of a comparison."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from neatlab.analysis.decisions import Candidate, Decision, Judgements, decide
from neatlab.runs.arms import ArmResult
from neatlab.runs.judging import Judge, Judged

MAX_ARMS = 20  # beyond it hundreds of tests share the 5 %, and hardly any could show something


def decisions(settings: Mapping[str, Sequence[ArmResult]], scores: Judge, retained: Judge | None) -> list[Decision]:
    """One decision for each setting with several arms, by the rule of `neatlab.analysis.decisions`.

    Arms that lost runs are left out. Every two arms of a setting are tested, and p-values corrected for all of these
    tests; with more than three arms that asks for more than the verdict does, which holds each against the reference.

    Args:
        settings: Setting → its arms.
        scores: What judges their scores.
        retained: What judges what is left of the base's own task; None where it has none.
    """
    several = {setting: arms for setting, arms in settings.items() if len(arms) > 1}
    whole = {setting: [arm for arm in arms if arm.is_whole] for setting, arms in several.items()}
    allowed = [arms for arms in whole.values() if len(arms) <= MAX_ARMS]
    pairs = [(a.arm, b.arm) for arms in allowed for a, b in combinations(arms, 2)]
    of_score, of_base = (
        Judgements(one.difference for one in (judge.judge(pairs) if judge else [])) for judge in (scores, retained)
    )
    return [_decision(setting, arms, of_score, of_base, scores.metric.name) for setting, arms in whole.items()]


def _decision(
    setting: str, arms: Sequence[ArmResult], scores: Judgements, retained: Judgements, metric: str
) -> Decision:
    if len(arms) > MAX_ARMS:
        advice = "compare those with the best means once more, on seeds that they have not seen"
        return Decision(setting, None, f"No recommendation among {len(arms)} arms: {advice}.", None)
    candidates = [Candidate(arm.arm, arm.cost("adapter_params"), arm.cost("seconds_per_step")) for arm in arms]
    return decide(candidates, scores, retained, metric, setting)


def or_reference(decision: Decision, reference: str, judged: Sequence[Judged], metric: str) -> Decision:
    """The decision; where it names no arm, the reference if each arm held against it is shown to be worse.

    Args:
        decision: By tests of every two arms.
        reference: The arm of its setting that the others are held against.
        judged: The tests of the verdict, fewer and so less corrected.
        metric: The metric's name.
    """
    tests = [one.difference for one in judged if reference in (one.difference.pair.a, one.difference.pair.b)]
    is_ahead = all(test.kind == "better" and test.winner == reference for test in tests)
    if decision.take is not None or not tests or not is_ahead:
        return decision
    others = f"each of the other {len(tests)} arms is" if len(tests) > 1 else "the other arm is"
    return Decision(decision.setting, reference, f"Take {reference}: {others} shown to be worse in {metric}.", 0)


def shown_worse(arms: Sequence[ArmResult], scores: Judge) -> list[str]:
    """Labels of the arms that are shown to be worse than the one with the best mean."""
    known = [arm for arm in arms if math.isfinite(arm.mean)]
    if len(known) < 2:
        return []
    pick = max if scores.metric.higher_is_better else min
    best = pick(known, key=lambda arm: arm.mean).arm
    judged = [one.difference for one in scores.judge([(arm.arm, best) for arm in known if arm.arm != best])]
    return [one.pair.a for one in judged if one.shown and one.winner == best]

"""Which arm of each setting to take, from the tests of a comparison."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from neatlab.analysis.decisions import Candidate, Decision, Judgements, decide
from neatlab.runs.arms import ArmResult
from neatlab.runs.judging import Judge, Judged

MAX_ARMS = 20  # beyond it hundreds of tests share the 5 %, and hardly any could show something


def decisions(
    settings: Mapping[str, Sequence[ArmResult]],
    scores: Judge,
    retained: Judge | None,
    references: Sequence[str],
    verdict: Sequence[Judged],
) -> list[Decision]:
    """One decision for each setting with several arms, by the rule of `neatlab.analysis.decisions`.

    Arms that lost runs are left out. Every two arms of a setting are tested, and p-values corrected for all of these
    tests; with more than three arms that asks for more than the verdict does, which holds each against the reference.
    Where it names no arm, the reference is taken if the verdict shows each other arm to be worse.

    Args:
        settings: Setting → its arms.
        scores: What judges their scores.
        retained: What judges what is left of the base's own task; None where it has none.
        references: The reference of each setting.
        verdict: The tests of the verdict.
    """
    several = {setting: arms for setting, arms in settings.items() if len(arms) > 1}
    whole = {setting: [arm for arm in arms if arm.is_whole] for setting, arms in several.items()}
    allowed = [arms for arms in whole.values() if len(arms) <= MAX_ARMS]
    pairs = [(a.arm, b.arm) for arms in allowed for a, b in combinations(arms, 2)]
    of_score, of_base = (
        Judgements(one.difference for one in (judge.judge(pairs) if judge else [])) for judge in (scores, retained)
    )
    reference, metric = dict(zip(settings, references, strict=True)), scores.metric.name
    made = [_decision(setting, arms, of_score, of_base, metric) for setting, arms in whole.items()]
    return [_or_reference(one, reference[one.setting], verdict, metric) for one in made]


def _decision(
    setting: str, arms: Sequence[ArmResult], scores: Judgements, retained: Judgements, metric: str
) -> Decision:
    if len(arms) > MAX_ARMS:
        advice = "compare those with the best means once more, on seeds that they have not seen"
        return Decision(setting, None, f"No recommendation among {len(arms)} arms: {advice}.", None)
    candidates = [Candidate(arm.arm, arm.cost("adapter_params"), arm.cost("seconds_per_step")) for arm in arms]
    return decide(candidates, scores, retained, metric, setting)


def _or_reference(decision: Decision, reference: str, verdict: Sequence[Judged], metric: str) -> Decision:
    tests = [one.difference for one in verdict if reference in (one.difference.pair.a, one.difference.pair.b)]
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

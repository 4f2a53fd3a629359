"""Which arm to take: from what the tests show of the score, what the arms cost, and what they leave of the base.

The rule:
1. An arm that is shown to be worse than another is out.
2. Of the others, an arm can be taken if against each of them it is better, as good, or cheaper and not worse.
3. Of several such arms the one with the fewest parameters is taken; of equals the fastest, steps within a tenth of the
   fastest being equal; of equals the one that is not shown to keep less of the base's own task; of equals the first.
4. Where no arm can be taken there is no recommendation, but the number of seeds that would allow one.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from neatlab.analysis.sentences import what_next
from neatlab.analysis.verdicts import Difference, Kind

SAME_TIME = 1.1  # a step's time differs by as much from one measurement to the next
MAX_NAMED = 3  # arms that a sentence names


@dataclass(frozen=True)
class Candidate:
    """An arm that may be taken.

    Args:
        arm: Its label.
        params: Its adapter's parameters; NaN where unknown.
        seconds: Time of a step; NaN where unknown.
    """

    arm: str
    params: float
    seconds: float


@dataclass(frozen=True)
class Decision:
    """Which arm of one setting to take.

    Args:
        setting: The setting, such as "kind=low-rank"; empty where there is one alone.
        take: The arm; None without a recommendation.
        sentence: The recommendation and its reasons, or what is missing.
        more_seeds: About how many more seeds would allow one; 0 with one, None where a thousand would not.
    """

    setting: str
    take: str | None
    sentence: str
    more_seeds: int | None


class Judgements:
    """Judged differences by their two arms, in either order."""

    def __init__(self, differences: Iterable[Difference]) -> None:
        self._by_pair = {frozenset((one.pair.a, one.pair.b)): one for one in differences}
        self._seeds: dict[Difference, float] = {}

    def of(self, a: Candidate, b: Candidate) -> Difference:
        """The test of these two."""
        return self._by_pair[frozenset((a.arm, b.arm))]

    def is_better(self, a: Candidate, b: Candidate) -> bool:
        """Whether a is shown to be better than b."""
        one = self._by_pair.get(frozenset((a.arm, b.arm)))
        return one is not None and one.kind == "better" and one.winner == a.arm

    def stands(self, a: Candidate, b: Candidate) -> bool:
        """Whether a may be taken where b is there too."""
        one = self.of(a, b)
        return one.kind == "as-good" or one.winner == a.arm

    def seeds_missing(self, difference: Difference) -> float:
        """The seeds that would decide it; infinite where none would, or where it is decided against an arm."""
        if difference not in self._seeds:
            more = difference.more_seeds if difference.kind == "undecided" else None
            self._seeds[difference] = math.inf if more is None else more
        return self._seeds[difference]


def decide(
    candidates: Sequence[Candidate], scores: Judgements, retained: Judgements, metric: str, setting: str = ""
) -> Decision:
    """The arm to take by the rule above.

    Args:
        candidates: The arms, all of whose runs have finished.
        scores: Their differences in the metric, each arm with each.
        retained: Their differences in what is left of the base's own task; empty where it has none.
        metric: The metric's name.
        setting: The setting that they share.
    """
    if not candidates:
        return Decision(setting, None, "No recommendation: no arm has finished all its runs.", None)
    contenders = _not_beaten(candidates, scores)
    able = [arm for arm in contenders if all(scores.stands(arm, other) for other in _others(arm, contenders))]
    if not able:
        return _undecided(contenders, scores, metric, setting)
    take = _cheapest(able, retained)
    reasons = " and ".join(filter(None, [_score(take, candidates, scores, metric), _cost(take, contenders, retained)]))
    caveats = _caveats(take, contenders, retained)
    because = f": it {reasons}" if reasons else ", the only arm whose runs have all finished"
    return Decision(setting, take.arm, f"Take {take.arm}{because}.{caveats}", 0)


def spoken(decisions: Iterable[Decision]) -> str:
    """The sentences under each other, each after its setting."""
    return "\n".join(": ".join(filter(None, [one.setting, one.sentence])) for one in decisions)


def _others(arm: Candidate, arms: Sequence[Candidate]) -> list[Candidate]:
    return [other for other in arms if other is not arm]


def _not_beaten(arms: Sequence[Candidate], scores: Judgements) -> list[Candidate]:
    """The arms that are not shown to be worse; all where each is, by tests on different seeds."""
    return [a for a in arms if not any(scores.is_better(other, a) for other in _others(a, arms))] or list(arms)


def _cheapest(arms: Sequence[Candidate], retained: Judgements) -> Candidate:
    arms = _least(arms, lambda arm: arm.params)
    arms = _least(arms, lambda arm: arm.seconds, SAME_TIME)
    return _not_beaten(arms, retained)[0]


def _least(arms: Sequence[Candidate], cost: Callable[[Candidate], float], same: float = 1.0) -> list[Candidate]:
    """The arms that cost least; an unknown cost is the highest."""
    costs = [math.inf if math.isnan(cost(arm)) else cost(arm) for arm in arms]
    return [arm for arm, spent in zip(arms, costs, strict=True) if spent <= same * min(costs)]


WORDS: Mapping[Kind, str] = {"better": "better than", "as-good": "as good as", "not-worse": "not worse than"}


def _score(take: Candidate, arms: Sequence[Candidate], scores: Judgements, metric: str) -> str:
    """What the tests show of the arm taken against the others: "is better than a and as good as b in accuracy"."""
    by_kind: dict[Kind, list[str]] = {kind: [] for kind in WORDS}
    for other in _others(take, arms):
        if scores.stands(take, other):
            by_kind[scores.of(take, other).kind].append(other.arm)
    parts = [f"{words} {_named(by_kind[kind])}" for kind, words in WORDS.items() if by_kind[kind]]
    return f"is {' and '.join(parts)} in {metric}" if parts else ""


def _cost(take: Candidate, contenders: Sequence[Candidate], retained: Judgements) -> str:
    """In what it is cheaper than those that are as good."""
    equals = _others(take, contenders)
    dearer = [other for other in equals if other.params > take.params]
    same = [other for other in equals if other.params == take.params]
    if not same:
        return _fewer(take, dearer, equals)
    return " and ".join(filter(None, [_fewer(take, dearer, equals), _tie(take, same, retained)]))


def _fewer(take: Candidate, dearer: Sequence[Candidate], equals: Sequence[Candidate]) -> str:
    if not dearer:
        return ""
    numbers = f" ({take.params:,.0f} against {dearer[0].params:,.0f})" if len(dearer) == 1 else ""
    than = "" if len(dearer) == len(equals) else f" than {_named([other.arm for other in dearer])}"
    return f"has fewer parameters{than}{numbers}"


def _tie(take: Candidate, same: Sequence[Candidate], retained: Judgements) -> str:
    """What sets it apart from arms of as many parameters."""
    names = _named([other.arm for other in same])
    if all(other.seconds > SAME_TIME * take.seconds for other in same):
        return f"takes less time a step than {names}, with as many parameters"
    if all(retained.is_better(take, other) for other in same):
        return f"keeps more of the base's own task than {names}, with as many parameters"
    return f"costs no more than {names}"


def _caveats(take: Candidate, contenders: Sequence[Candidate], retained: Judgements) -> str:
    """What speaks for others that are not shown to be worse."""
    others = _others(take, contenders)
    fewer = [other.arm for other in others if other.params < take.params]
    keeping = [other.arm for other in others if retained.is_better(other, take)]
    said = {
        "Not shown to be as good, with fewer parameters:": fewer,
        "Less of the base's own task is left than by": keeping,
    }
    return "".join(f" {words} {_named(arms)}." for words, arms in said.items() if arms)


def _undecided(contenders: Sequence[Candidate], scores: Judgements, metric: str, setting: str) -> Decision:
    """What is missing, by the arm that fewest seeds would allow to be taken."""
    names = [arm.arm for arm in contenders]
    missing_seeds = scores.seeds_missing
    last = [max(_open(arm, contenders, scores), key=missing_seeds) for arm in contenders]
    first = min(last, key=lambda one: (one.kind != "undecided", missing_seeds(one)))
    if first.kind != "undecided":
        return Decision(setting, None, f"No recommendation: of {_named(names)} each is worse than another.", None)
    if len(names) == 2:
        between = f"no difference is shown between {names[0]} and {names[1]} in {metric}"
        missing = f"{between}, nor that they are as good to within {first.margin:g}"
    else:
        missing = f"of {_named(names)} none is shown to be as good as all the others in {metric}"
    return Decision(setting, None, f"No recommendation yet: {missing}; {what_next(first)}.", first.more_seeds)


def _open(arm: Candidate, contenders: Sequence[Candidate], scores: Judgements) -> list[Difference]:
    """The tests that keep an arm from being taken."""
    return [scores.of(arm, other) for other in _others(arm, contenders) if not scores.stands(arm, other)]


def _named(arms: Sequence[str]) -> str:
    """The arms as a list of words; how many where these are too many to read."""
    if len(arms) > MAX_NAMED:
        return f"{len(arms)} arms"
    return " and ".join(filter(None, [", ".join(arms[:-1]), arms[-1]]))

"""What a comparison found, in plain words: the same on the terminal, the page and in reports."""

from collections import Counter
from collections.abc import Sequence

from neatlab.analysis.verdicts import Difference, Kind

KINDS: dict[Kind, str] = {
    "better": "show a difference",
    "as-good": "show arms as good as each other",
    "not-worse": "show the smaller arm not to be worse",
    "undecided": "undecided",
}
OVER = {"examples": "on new examples and new seeds", "seeds": "on new seeds and these test examples"}


def sentence(difference: Difference, metric: str, over: str = "seeds") -> str:
    """What a paired difference allows one to say.

    Args:
        difference: a − b.
        metric: The metric's name.
        over: What the interval holds for, a key of `OVER`.
    """
    a, b, interval = difference.pair.a, difference.pair.b, difference.interval
    if interval.count < 2:
        return f"{a} against {b}: {interval.count} shared seed(s), too few to say anything; take 3 or more."
    if not interval.half_width > 0:
        return (
            f"No difference shown between {a} and {b} in {metric}: {a} − {b} is {interval.mean:+.4f} on each of the "
            f"{interval.count} shared seeds, which leaves no spread to judge it by; take more seeds."
        )
    return WORDS[difference.kind](difference, metric, over)


def _better(difference: Difference, metric: str, over: str) -> str:
    a, b, leader = difference.pair.a, difference.pair.b, difference.leader
    other = b if leader == a else a
    return f"{leader} is better than {other} in {metric} ({a} − {b}: {_numbers(difference, over)})."


def _as_good(difference: Difference, metric: str, over: str) -> str:
    low, high = difference.interval.within(0.1)
    p = f"p = {difference.p_equivalence:.2g}{_corrected(difference.p_equivalence_holm, difference)}"
    shown = f" That {_better(difference, metric, over)[:-1]}, hardly matters." if difference.shown else ""
    numbers = f"{difference.interval.mean:+.4f}, 90 % interval {low:+.4f} to {high:+.4f} {OVER[over]}, {p}"
    return (
        f"{difference.pair.a} and {difference.pair.b} are as good as each other in {metric}: they differ by less than "
        f"{difference.margin:g} ({numbers}).{shown}"
    )


def _not_worse(difference: Difference, metric: str, over: str) -> str:
    a, b, winner = difference.pair.a, difference.pair.b, difference.winner
    return (
        f"{winner} has fewer parameters and is not worse than {b if winner == a else a} in {metric} by "
        f"{difference.margin:g} or more ({a} − {b}: {_numbers(difference, over)})."
    )


def _undecided(difference: Difference, metric: str, over: str) -> str:
    return (
        f"No difference shown between {difference.pair.a} and {difference.pair.b} in {metric}, nor that they are as "
        f"good to within {difference.margin:g} ({_numbers(difference, over)}); {what_next(difference)}."
    )


def what_next(difference: Difference) -> str:
    """What it takes to decide a comparison that is undecided."""
    more, interval = difference.more_seeds, difference.interval
    if interval.count < 2:
        return f"{interval.count} shared seed(s) are too few to say anything; take 3 or more"
    if not interval.half_width > 0:
        return f"{interval.count} shared seeds show no spread to judge by; take more"
    if more is not None:
        return f"at this spread about {more} more seed{'' if more == 1 else 's'} would decide"
    if interval.fixed > interval.standard_error**2 / 2:
        return "more seeds would not decide it, the test examples are too few"
    return "at this spread more than a thousand seeds would not decide it"


WORDS = {"better": _better, "as-good": _as_good, "not-worse": _not_worse, "undecided": _undecided}


def _numbers(difference: Difference, over: str) -> str:
    interval = difference.interval
    bounds = f"95 % interval {interval.low:+.4f} to {interval.high:+.4f} {OVER[over]}"
    return f"{interval.mean:+.4f}, {bounds}, p = {interval.p_value:.2g}{_corrected(difference.p_holm, difference)}"


def _corrected(p: float, difference: Difference) -> str:
    several = [f"{difference.tests} comparisons"] * (difference.tests > 1) + ["the looks"] * bool(difference.looks)
    return f", corrected for {' and '.join(several)} p = {p:.2g}" if several else ""


def headline(differences: Sequence[Difference], metric: str) -> str:
    """What several comparisons say together, for someone who reads no further; empty for one or none."""
    if len(differences) < 2:
        return ""
    arms = {arm for difference in differences for arm in (difference.pair.a, difference.pair.b)}
    wins = Counter(difference.winner for difference in differences if difference.kind == "better")
    best, count = wins.most_common(1)[0] if wins else (None, 0)
    if count == len(arms) - 1:
        return f"{best} is better in {metric} than every other arm here."
    kinds = Counter(difference.kind for difference in differences)
    counts = ", ".join(f"{kinds[kind]} {words}" for kind, words in KINDS.items() if kinds[kind])
    return f"No arm is shown to be better in {metric} than all others. Of {len(differences)} comparisons: {counts}."


def assumptions(differences: Sequence[Difference], over: Sequence[str]) -> str:
    """What the sentences rest on; empty where there are none."""
    if not differences:
        return ""
    tests, looks = differences[0].tests, differences[0].looks
    parts = [
        "Arms are paired by seed: same data order, same start.",
        f"Intervals hold {' or '.join(OVER[one] for one in sorted(set(over)))}.",
        f"A difference below {differences[0].margin:g} counts as none that matters.",
        f"p-values are corrected for {tests} comparisons by Holm's method." if tests > 1 else "",
        f"One looks after {', '.join(map(str, looks))} seeds, and the 5 % are shared out over the looks."
        if looks
        else "",
    ]
    return " ".join(filter(None, parts))

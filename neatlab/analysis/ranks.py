"""Arms over several tasks: mean ranks, whether they differ at all, and how far apart two must be to differ.

Friedman's test in the form of Iman and Davenport, Nemenyi's critical difference and Wilcoxon's signed-rank test, as in
Demšar (2006), Statistical comparisons of classifiers over multiple data sets, JMLR 7, sections 3.1.3 and 3.2.2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neatlab.analysis.statistics import LEVEL, NAN
from neatlab.runtime.lazy import lazy

stats = lazy("scipy.stats")

Scores = Mapping[str, Mapping[str, float]]  # task → arm → score, higher is better, NaN where an arm has none
MIN_TASKS, MIN_ARMS = 2, 3  # of Friedman's test
FEW = 10  # tasks below which F does not follow its distribution: two that agree would make it infinite
DRAWS = 20_000  # random permutations that p is taken from there


class Counted(NamedTuple):
    """What of several tasks can be ranked.

    Args:
        arms: The arms that every task offers, in their order.
        tasks: The tasks on which each of these has a score.
        absent: Arms that some task does not offer → those tasks.
        unscored: Tasks that do not count → their arms without a score.
    """

    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    absent: dict[str, list[str]]
    unscored: dict[str, list[str]]


class Friedman(NamedTuple):
    """A test of whether arms differ at all.

    Args:
        chi2: Friedman's χ², corrected for ties.
        f: F of Iman and Davenport, ((N − 1)·χ²) / (N·(k − 1) − χ²), of k − 1 and (k − 1)·(N − 1) degrees of freedom.
        p: p of F; with fewer than ten tasks that of random permutations within each task.
    """

    chi2: float
    f: float
    p: float


@dataclass(frozen=True)
class Ranking:
    """Arms ranked over tasks, 1 for the best.

    Args:
        arms: The arms.
        tasks: The tasks that count.
        mean_ranks: Of each arm; NaN without tasks.
        friedman: Whether they differ at all; NaN below two tasks or three arms.
        critical_difference: Between mean ranks, from which on two arms differ; NaN as `friedman`.
        alike: The largest groups of arms, best first, that are not shown to differ from one another.
    """

    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    friedman: Friedman
    critical_difference: float
    alike: tuple[tuple[str, ...], ...]

    @property
    def is_tested(self) -> bool:
        """Whether there are enough tasks and arms for a test."""
        return len(self.tasks) >= MIN_TASKS and len(self.arms) >= MIN_ARMS

    @property
    def shows(self) -> bool:
        """Whether Friedman's test shows that the arms differ."""
        return self.friedman.p <= LEVEL

    def sentences(self) -> list[str]:
        """What may be said of it, and what may not."""
        tasks, arms = len(self.tasks), len(self.arms)
        if not self.is_tested:
            needs = f"{MIN_TASKS} tasks and {MIN_ARMS} arms"
            return [f"{tasks} task(s) with all of {arms} arms: too few for Friedman's test, which needs {needs}."]
        numbers = f"F({arms - 1}, {(arms - 1) * (tasks - 1)}) = {self.friedman.f:.2f}, p = {self.friedman.p:.2g}"
        shown = "shows that they differ" if self.shows else "shows no difference"
        how = " by permutation" if tasks < FEW else ""
        return [f"{arms} arms on {tasks} tasks: Friedman's test {shown} ({numbers}{how}).", *self._of_pairs()]

    def _of_pairs(self) -> list[str]:
        apart, most = self.critical_difference, len(self.arms) - 1
        if apart > most:
            few = f"{len(self.tasks)} tasks are too few to tell two arms apart by their ranks"
            return [f"{few}: these would have to differ by {apart:.2f}, and can by {most}."]
        if not self.shows:
            return []
        ordered = sorted(zip(self.mean_ranks, self.arms, strict=True))
        behind = {arm: [other for r, other in ordered if r - rank >= apart] for rank, arm in ordered}
        said = [f"{arm} is ranked better than {', '.join(others)}." for arm, others in behind.items() if others]
        critical = f"Nemenyi's critical difference of mean ranks is {apart:.2f}"
        return [f"{critical}: " + (" ".join(said) or "no two arms are that far apart.")]


def counted(scores: Scores, arms: Sequence[str]) -> Counted:
    """Which arms and tasks can be ranked: the arms that every task offers, on the tasks where all of them have a score.

    Args:
        scores: Task → arm → score; an arm that a task cannot have is not in it.
        arms: Every arm, in their order.
    """
    absent = {arm: [task for task, by_arm in scores.items() if arm not in by_arm] for arm in arms}
    ranked = tuple(arm for arm in arms if not absent[arm])
    missing = {task: [arm for arm in ranked if not math.isfinite(by_arm[arm])] for task, by_arm in scores.items()}
    tasks = tuple(task for task, without in missing.items() if not without)
    named = {arm: without for arm, without in absent.items() if without}
    return Counted(ranked, tasks, named, {task: without for task, without in missing.items() if without})


def ranking(scores: Scores, arms: Sequence[str]) -> Ranking:
    """Rank arms over the tasks that `counted` leaves.

    Args:
        scores: As for `counted`.
        arms: As for `counted`.
    """
    known = counted(scores, arms)
    ranks = task_ranks([[scores[task][arm] for arm in known.arms] for task in known.tasks], len(known.arms))
    means = tuple(map(float, ranks.mean(0))) if len(ranks) else (NAN,) * len(known.arms)
    if len(known.tasks) < MIN_TASKS or len(known.arms) < MIN_ARMS:
        return Ranking(known.arms, known.tasks, means, Friedman(NAN, NAN, NAN), NAN, ())
    apart = critical_difference(len(known.arms), len(known.tasks))
    return Ranking(known.arms, known.tasks, means, friedman(ranks), apart, alike(known.arms, means, apart))


def task_ranks(scores: Sequence[Sequence[float]], arms: int) -> NDArray[np.float64]:
    """Ranks within each task, 1 for the highest score, equal scores sharing the mean of their ranks.

    Args:
        scores: N tasks × k arms.
        arms: k, which no task says.

    Returns:
        N × k.
    """
    return np.array([stats.rankdata([-score for score in row]) for row in scores]).reshape(len(scores), arms)


def friedman(ranks: NDArray[np.float64]) -> Friedman:
    """Whether the mean ranks of arms differ by more than chance.

    Args:
        ranks: N tasks × k arms, each row's ranks as of `task_ranks`; N at least 2.
    """
    tasks, arms = ranks.shape
    between = 12 / (tasks * arms * (arms + 1)) * (ranks.sum(0) ** 2).sum() - 3 * tasks * (arms + 1)
    sizes = [np.unique(row, return_counts=True)[1] for row in ranks]
    untied = 1 - sum(float((size**3 - size).sum()) for size in sizes) / (tasks * arms * (arms**2 - 1))
    if untied <= 0:  # every arm scores the same on every task
        return Friedman(0.0, 0.0, 1.0)
    chi2 = max(float(between / untied), 0.0)
    rest = tasks * (arms - 1) - chi2
    f = (tasks - 1) * chi2 / rest if rest > 1e-9 else math.inf
    p = float(stats.f.sf(f, arms - 1, (arms - 1) * (tasks - 1))) if tasks >= FEW else _permuted_p(ranks)
    return Friedman(chi2, f, p)


def _permuted_p(ranks: NDArray[np.float64]) -> float:
    """Share of random orders of each task's ranks whose sums lie as far apart as those seen, these included."""
    draws = np.random.default_rng(0).permuted(np.broadcast_to(ranks, (DRAWS, *ranks.shape)), axis=2)
    apart = (draws.sum(1) ** 2).sum(1) >= (ranks.sum(0) ** 2).sum() - 1e-9
    return float((1 + apart.sum()) / (1 + DRAWS))


def critical_difference(arms: int, tasks: int, level: float = LEVEL) -> float:
    """Nemenyi's: q·√(k(k + 1)/(6N)), q the quantile of the studentised range of k arms over √2.

    Args:
        arms: k.
        tasks: N.
        level: Of the test of all pairs together.
    """
    q = float(stats.studentized_range.isf(level, arms, np.inf)) / math.sqrt(2)
    return q * math.sqrt(arms * (arms + 1) / (6 * tasks))


def alike(arms: Sequence[str], mean_ranks: Sequence[float], apart: float) -> tuple[tuple[str, ...], ...]:
    """The largest groups of two or more arms, best first, whose mean ranks differ by less than `apart`."""
    order = sorted(range(len(arms)), key=lambda index: mean_ranks[index])
    groups: list[list[int]] = []
    for place, first in enumerate(order):
        group = [index for index in order[place:] if mean_ranks[index] - mean_ranks[first] < apart]
        if len(group) > 1 and not (groups and groups[-1][-1] == group[-1]):
            groups.append(group)
    return tuple(tuple(arms[index] for index in group) for group in groups)


def signed_rank_p(differences: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that differences lie about 0, exact also where some are of one size.

    Args:
        differences: One a task; those of 0 count for neither side, and NaN is left out.

    Returns:
        p; NaN where no difference is left.
    """
    known = np.array([value for value in differences if math.isfinite(value) and value])
    if not len(known):
        return NAN
    doubled = np.rint(2 * stats.rankdata(abs(known))).astype(int)
    ways = np.zeros(doubled.sum() + 1)  # sum of the positive ranks, doubled → in how many of 2ⁿ signs
    ways[0] = 1.0
    for rank in doubled:
        ways[rank:] += ways[:-rank].copy()
    positive = doubled[known > 0].sum()
    tail = min(ways[: positive + 1].sum(), ways[positive:].sum())
    return float(min(1.0, 2 * tail / ways.sum()))


def smallest_p(tasks: int) -> float:
    """The smallest p that `signed_rank_p` can give: every difference on one side."""
    return 2.0 ** (1 - tasks) if tasks else NAN

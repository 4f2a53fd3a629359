"""What a comparison says of one arm, and of the difference between two."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from neatlab.adapters.methods import METHODS
from neatlab.analysis.sentences import sentence
from neatlab.analysis.statistics import NAN, Interval, mean_interval
from neatlab.analysis.verdicts import Difference, Kind
from neatlab.runs.run import Run
from neatlab.runtime.numbers import is_known, or_nan
from neatlab.tasks.metrics import Metric

Ends = tuple[float, float]
Over = Literal["examples", "seeds"]


@dataclass(frozen=True)
class SeedResult:
    """One run of an arm; `metric` is its score on the test split, None where it has none."""

    run: str
    seed: int
    status: str
    metric: float | None


@dataclass(frozen=True)
class ArmResult:
    """One arm: what it was, what it cost, what it reached. Means are over seeds, NaN where unknown.

    Args:
        arm: Its label.
        config: Method, its options and the training settings.
        task_options: Options of the task.
        adapter_params: Parameters of the adapter alone.
        trainable_params: Those and the head's.
        metric: What the arms are judged by.
        mean: Mean of the metric on the test split.
        ci95: Ends of its 95 % interval; NaN below two seeds.
        base_metric_before: Mean of the base task's metric before training.
        base_metric: And after it.
        base_ci95: Ends of the 95 % interval of that; NaN below two seeds.
        seconds_per_step: Mean time of a step.
        effective_rank: Mean effective rank of ΔW at the end.
        saved_bytes: Bytes that a batch's forward pass keeps for the backward pass.
        served_as_lora: Whether what serves LoRA serves its adapters: "yes", "as DoRA", or "merged only".
        runs: One entry a seed.
    """

    arm: str
    config: dict[str, Any]
    task_options: dict[str, Any]
    adapter_params: int | None
    trainable_params: int | None
    metric: str
    mean: float
    ci95: Ends
    base_metric_before: float
    base_metric: float
    base_ci95: Ends
    seconds_per_step: float
    effective_rank: float
    saved_bytes: int | None
    served_as_lora: str
    runs: tuple[SeedResult, ...]

    @property
    def finished(self) -> int:
        """How many of its runs finished."""
        return sum(run.status == "finished" for run in self.runs)

    @property
    def is_whole(self) -> bool:
        """Whether all its runs have finished."""
        return self.finished == len(self.runs)

    @property
    def base_change(self) -> str:
        """What adaptation left of the base: its own task's metric, "0.979 → 0.412"; empty where unknown."""
        before, after = self.base_metric_before, self.base_metric
        return f"{before:.3f} → {after:.3f}" if is_known(before) and is_known(after) else ""

    def cost(self, name: str) -> float:
        """`adapter_params`, `seconds_per_step` or `saved_bytes`; NaN where unknown."""
        return float(or_nan(getattr(self, name)))


@dataclass(frozen=True)
class ArmDifference:
    """a − b, paired by seed.

    Args:
        a: The arm that is compared.
        b: The arm that it is compared with.
        mean: Mean difference.
        ci95: Ends of its 95 % interval; NaN where there is none.
        p: p of the paired t-test.
        p_holm: p corrected for all comparisons together.
        detectable: The true difference that these seeds find four times in five.
        shown: Whether a difference is shown.
        verdict: "better", "as-good", "not-worse" or "undecided".
        winner: The better arm, or the one with fewer parameters that is not worse; None without one.
        margin: The largest difference that does not matter.
        p_equivalence: p of the two one-sided tests that the difference lies within ±margin.
        p_equivalence_holm: The same, corrected for all comparisons together.
        more_seeds: About how many more seeds decide four times in five, were the difference and spread those seen; 0
            where it is decided, None where a thousand would not.
        over: What `ci95` and the p-values hold for: "examples" (new ones, and new seeds) or "seeds" alone.
        ci95_examples: Ends of the interval for new examples and new seeds; NaN where there is none.
        ci95_seeds: Ends of the interval for new seeds on these examples.
        sentence: What may be said of it.
    """

    a: str
    b: str
    mean: float
    ci95: Ends
    p: float
    p_holm: float
    detectable: float
    shown: bool
    verdict: Kind
    winner: str | None
    margin: float
    p_equivalence: float
    p_equivalence_holm: float
    more_seeds: int | None
    over: Over
    ci95_examples: Ends
    ci95_seeds: Ends
    sentence: str


def arm_result(label: str, runs: Sequence[Run], scores: Mapping[int, float], metric: Metric) -> ArmResult:
    """What the runs of one arm say.

    Args:
        label: The arm.
        runs: Its runs.
        scores: Seed → score.
        metric: What it is judged by.
    """
    config, score, summary = runs[0].config, mean_interval(scores.values()), runs[0].summary
    base = _interval(runs, "base_metric")
    return ArmResult(
        arm=label,
        config={"method": config.arm.method, **config.arm.options, **config.training.model_dump()},
        task_options=config.task_options,
        adapter_params=summary.get("adapter_params"),
        trainable_params=summary.get("trainable_params"),
        metric=metric.name,
        mean=score.mean,
        ci95=(score.low, score.high),
        base_metric_before=_mean(runs, "base_metric_before"),
        base_metric=base.mean,
        base_ci95=(base.low, base.high),
        seconds_per_step=_mean(runs, "seconds_per_step"),
        effective_rank=_mean(runs, "effective_rank"),
        saved_bytes=summary.get("saved_bytes"),
        served_as_lora=METHODS[config.arm.method].served_as_lora,
        runs=tuple(SeedResult(run.run_id, run.config.seed, run.status, run.summary.get("metric")) for run in runs),
    )


def arm_difference(
    difference: Difference, metric: Metric, intervals: Mapping[Over, Interval], over: Over
) -> ArmDifference:
    """A tested difference with what may be said of it.

    Args:
        difference: a − b.
        metric: What the arms are judged by.
        intervals: What they hold for → intervals of a − b, as far as there are any.
        over: The one that `difference` was judged by.
    """
    interval, ends = difference.interval, {name: (one.low, one.high) for name, one in intervals.items()}
    return ArmDifference(
        a=difference.pair.a,
        b=difference.pair.b,
        mean=interval.mean,
        ci95=(interval.low, interval.high),
        p=interval.p_value,
        p_holm=difference.p_holm,
        detectable=interval.detectable(difference.tests),
        shown=difference.shown,
        verdict=difference.kind,
        winner=difference.winner,
        margin=difference.margin,
        p_equivalence=difference.p_equivalence,
        p_equivalence_holm=difference.p_equivalence_holm,
        more_seeds=difference.more_seeds,
        over=over,
        ci95_examples=ends.get("examples", (NAN, NAN)),
        ci95_seeds=ends.get("seeds", (NAN, NAN)),
        sentence=sentence(difference, metric.name, over),
    )


def total_seconds(runs: Iterable[Run]) -> float:
    """Training time of the runs together; a run that diverged does not know its own."""
    return sum(run.summary.get("seconds") or 0.0 for run in runs)


def _mean(runs: Sequence[Run], name: str) -> float:
    return _interval(runs, name).mean


def _interval(runs: Sequence[Run], name: str) -> Interval:
    return mean_interval([or_nan(run.summary.get(name)) for run in runs])

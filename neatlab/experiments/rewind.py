"""The rewinding curve: how the score and what is left of the base change as a run's ΔW is scaled back, or beyond."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from neatlab.adapters.attach import Adapted
from neatlab.errors import BadInput
from neatlab.experiments.execute import make_task, one_thread
from neatlab.experiments.trained import load_trained, merged
from neatlab.runs.frames import without_nan
from neatlab.runs.run import Run
from neatlab.runtime.environment import keep_random_state
from neatlab.runtime.lazy import lazy
from neatlab.runtime.numbers import or_nan
from neatlab.tasks import Task
from neatlab.tasks.base import Split

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)


@dataclass(frozen=True)
class RewindPoint:
    """The model with W₀ + α·ΔW on the validation split.

    Args:
        alpha: α; 0 is the base with the head as trained, 1 the run's own model.
        metric: The task's metric.
        loss: Its loss.
        base_metric: The base's metric on held-out examples of its own task; NaN where it has none.
    """

    alpha: float
    metric: float
    loss: float
    base_metric: float


@dataclass(frozen=True)
class Rewinding:
    """What scaling the ΔW of a run does.

    Args:
        run: The run's id.
        arm: Its arm.
        metric: Name of the task's metric.
        base_metric: Name of the base's metric; None where the task has none.
        selects_by: What the best α was chosen by on the validation split, "metric" or "loss".
        points: One an α.
        best: The α that is best on the validation split; of equals the smallest, which changes the base least.
        test: The metric on the test split at that α, scored once.
        test_as_trained: The run's own score on the test split.
    """

    run: str
    arm: str
    metric: str
    base_metric: str | None
    selects_by: str
    points: tuple[RewindPoint, ...]
    best: float
    test: float
    test_as_trained: float

    def frame(self) -> "pd.DataFrame":
        """A row an α."""
        return pd.DataFrame([asdict(point) for point in self.points])

    def to_dict(self) -> dict[str, Any]:
        """The whole as plain values, NaN as None."""
        values: dict[str, Any] = without_nan(asdict(self))
        return values

    @property
    def sentence(self) -> str:
        """What to do with it."""
        chosen = f"Best on validation data by {'loss' if self.selects_by == 'loss' else self.metric}: α = {self.best:g}"
        return (
            f"{chosen}; on the test split {self.metric} {self.test:.4f} there, {self.test_as_trained:.4f} as trained."
        )


def rewind(run: Run, alphas: Sequence[float] = ALPHAS) -> Rewinding:
    """Score W₀ + α·ΔW on the validation split for several α, and on the test split at the best of these alone.

    ΔW is everything that the run changed outside its head, so this is exact for every method, full fine-tuning too.

    Args:
        run: A finished run.
        alphas: The values of α.

    Returns:
        The curve, with `.frame()`, `.best` and `.test`; `neatlab.plots.rewinding` draws it.

    Raises:
        BadInput: The run is not finished or changed no layer, no α, or one that is not finite.
        StoreError: Its weights are missing or damaged.

    Example:
        >>> import neatlab
        >>> result = neatlab.compare("teacher:d_in=16,d_out=16", ["lora:rank=2"], seeds=1, steps=20)
        >>> curve = neatlab.rewind(result.runs[0])
        >>> len(curve.points), curve.base_metric is None
        (6, True)
    """
    _check(alphas)
    adapted, task = load_trained(run), make_task(run.config)
    path, row = _Path(adapted, task, run), run.config.spec.row
    with one_thread():
        points = tuple(path.point(alpha) for alpha in sorted(set(map(float, alphas))))
        best = _best(points, row.selects_by, run.config.spec.metric.higher_is_better)
        test = path.score(best, "test")
    names = run.config.spec.metric.name, row.base_metric.name if row.base_metric else None
    as_trained = float(or_nan(run.summary.get("metric")))
    return Rewinding(run.run_id, run.config.arm.label, *names, row.selects_by, points, best, test, as_trained)


def _check(alphas: Sequence[float]) -> None:
    if not alphas:
        raise BadInput("no α to score; give some, such as 0, 0.5 and 1")
    for alpha in alphas:
        if not math.isfinite(alpha):
            raise BadInput(f"α = {alpha}; give finite numbers, such as 0, 0.5 and 1")


def _best(points: Sequence[RewindPoint], selects_by: str, higher_is_better: bool) -> float:
    """The α with the best score; the smallest of several."""
    sign = -1 if selects_by == "metric" and higher_is_better else 1
    costs = {point.alpha: sign * getattr(point, selects_by) for point in points}
    return min(costs, key=lambda alpha: (math.isnan(costs[alpha]), costs[alpha], abs(alpha)))


class _Path:
    """The straight line from the base through the trained model, in one plain model whose weights are set to a point.

    Args:
        adapted: The trained model; merged, and used up.
        task: What it was trained on.
        run: Whose it is.

    Raises:
        BadInput: The run changed nothing outside its head.
    """

    def __init__(self, adapted: Adapted, task: Task, run: Run) -> None:
        self._task, self._model = task, merged(adapted)
        device = next(self._model.parameters()).device
        with keep_random_state(device):
            base = dict(task.base_model().to(device).named_parameters())
        changed = _changed(base, self._model, adapted.head)
        if not changed:
            raise BadInput(f"a {run.config.arm.method} run changes no layer, so there is nothing to rewind")
        self._ends = {name: (base[name].detach(), weight.detach().clone()) for name, weight in changed.items()}

    def point(self, alpha: float) -> RewindPoint:
        """Scores on the validation split, and of the base's own task."""
        model = self._at(alpha)
        score, base = self._task.score(model, "validation"), self._task.base_score(model)
        return RewindPoint(alpha, score.metric, score.loss, math.nan if base is None else base)

    def score(self, alpha: float, split: Split) -> float:
        """The metric on a split."""
        return self._task.score(self._at(alpha), split).metric

    def _at(self, alpha: float) -> nn.Module:
        parameters = dict(self._model.named_parameters())
        with torch.no_grad():
            for name, (start, end) in self._ends.items():
                parameters[name].copy_(torch.lerp(start, end, alpha))  # exact at 0 and at 1
        return self._model


def _changed(base: Mapping[str, Tensor], model: nn.Module, head: Sequence[str]) -> dict[str, Tensor]:
    """The parameters outside the head that differ from the base's."""
    outside = {name: p for name, p in model.named_parameters() if not {*head} & {*name.split(".")}}
    return {name: p for name, p in outside.items() if name in base and not torch.equal(base[name], p)}

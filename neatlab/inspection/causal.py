"""The causal slider: weaken one direction of what a run learned, and see what the task and the base lose."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from neatlab.analysis.partial_svd import leading_svd
from neatlab.analysis.subspaces import EPSILON, Directions, directions, intruders
from neatlab.errors import BadInput, unknown
from neatlab.experiments.execute import make_task, one_thread
from neatlab.experiments.trained import load_trained, merged
from neatlab.runs.run import Run
from neatlab.runtime.lazy import lazy
from neatlab.tasks import Task
from neatlab.tasks.base import Split

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0)
Which = int | Literal["intruders", "all"]


@dataclass(frozen=True)
class ScalingResult:
    """What scaling a part of ΔW does.

    Args:
        which: The part: a direction's index from 1, "intruders" or "all".
        layers: The layers that it was scaled in.
        metric: Name of the task's metric.
        base_metric: Name of the base's metric, which shows forgetting; None where the task has none.
        points: A row a factor: `factor`, `metric`, `loss`, `base_metric` (NaN where there is none) and `energy`, the
            share of Σ‖ΔW‖² that is left.
    """

    which: Which
    layers: list[str]
    metric: str
    base_metric: str | None
    points: list[dict[str, float]]

    def frame(self) -> "pd.DataFrame":
        """A row a factor."""
        return pd.DataFrame(self.points)


class Slider:
    """A trained run whose ΔW can be scaled part by part; loaded once, asked many times.

    Args:
        run: A finished run.

    Raises:
        BadInput: The run is not finished, or changed no layer.
        StoreError: Its weights are missing or damaged.
    """

    def __init__(self, run: Run) -> None:
        adapted = load_trained(run)
        deltas = adapted.deltas()
        if not deltas:
            raise BadInput(f"a {run.config.arm.method} run changes no layer, so there is nothing to scale")
        self._task: Task = make_task(run.config)
        self._before = {name: weight.clone() for name, weight in adapted.layers.items()}
        self._directions = {name: directions(delta) for name, delta in deltas.items()}
        self._model = merged(adapted)
        self._after = {name: _layer(self._model, name).detach().clone() for name in deltas}
        row: Any = self._task
        self.metric = run.config.spec.metric.name
        self.base_metric = row.base_metric.name if row.base_metric else None

    @property
    def layers(self) -> list[str]:
        """The layers with a ΔW."""
        return list(self._directions)

    @property
    def count(self) -> int:
        """Directions of the layer that has most."""
        return max(len(update) for update in self._directions.values())

    def intruders(self, layer: str, epsilon: float = EPSILON) -> Tensor:
        """Left singular vectors of W₀ + ΔW without a partner in W₀, as columns; among as many as ΔW has directions."""
        weight, k = self._before[layer].double(), max(1, len(self._directions[layer]))
        after = leading_svd(self._after[layer].double(), k)
        without_partner = intruders(after, leading_svd(weight, min(weight.shape)), epsilon)
        return after.left[:, without_partner.indices].double()

    def scale(
        self,
        which: Which = 1,
        factors: Sequence[float] = FACTORS,
        *,
        layers: Sequence[str] | None = None,
        split: Split = "validation",
    ) -> ScalingResult:
        """Scale a part of ΔW and measure what is left of the task and of the base.

        A direction i is σᵢuᵢvᵢᵀ of each layer's ΔW; "intruders" is the part of ΔW that writes to the intruder
        dimensions of W₀ + ΔW; "all" is ΔW itself.

        Args:
            which: The direction's index from 1, "intruders" or "all".
            factors: What it is multiplied by; 1 leaves the model as it was trained, 0 takes the part out.
            layers: Where; every layer by default.
            split: The split to measure on; the test split is for what is reported.

        Returns:
            A point a factor.

        Raises:
            BadInput: No such direction or layer.
        """
        chosen = self._chosen(layers)
        parts = {name: self._part(which, name) for name in chosen}
        points = []
        with one_thread():
            for factor in factors:
                with self._scaled(parts, float(factor)):
                    points.append(
                        {"factor": float(factor), **self._measure(split), "energy": self._energy(parts, factor)}
                    )
        return ScalingResult(which, chosen, self.metric, self.base_metric, points)

    def _chosen(self, layers: Sequence[str] | None) -> list[str]:
        for name in layers or []:
            if name not in self._directions:
                raise unknown("layer", name, self._directions)
        return list(layers or self._directions)

    def _part(self, which: Which, name: str) -> Tensor:
        update = self._directions[name]
        if which == "all":
            return _product(update, slice(None))
        if which == "intruders":
            basis = self.intruders(name)  # d_out × k
            return basis @ (basis.T @ _product(update, slice(None)))
        if not isinstance(which, int) or isinstance(which, bool) or not 1 <= which <= self.count:
            raise BadInput(f"direction {which!r}; allowed: 1 to {self.count}, 'intruders', 'all'")
        return _product(update, slice(which - 1, which))

    @contextmanager
    def _scaled(self, parts: Mapping[str, Tensor], factor: float) -> Iterator[None]:
        """The model with (1 − factor) of each part taken out; as it was again afterwards."""
        try:
            with torch.no_grad():
                for name, part in parts.items():
                    after = self._after[name]
                    _layer(self._model, name).copy_(after.double() - (1 - factor) * part)
            yield
        finally:
            with torch.no_grad():
                for name in parts:
                    _layer(self._model, name).copy_(self._after[name])

    def _measure(self, split: Split) -> dict[str, float]:
        score, base = self._task.score(self._model, split), self._task.base_score(self._model)
        return {"metric": score.metric, "loss": score.loss, "base_metric": float("nan") if base is None else base}

    def _energy(self, parts: Mapping[str, Tensor], factor: float) -> float:
        """Share of Σ‖ΔW‖² that is left."""
        whole = {name: _product(update, slice(None)) for name, update in self._directions.items()}
        left = {name: delta - (1 - factor) * parts.get(name, torch.zeros(())) for name, delta in whole.items()}
        total = sum(float(delta.square().sum()) for delta in whole.values())
        return sum(float(delta.square().sum()) for delta in left.values()) / total if total else float("nan")


def _product(update: Directions, indices: slice) -> Tensor:
    """The part of ΔW in some of its directions, d_out × d_in."""
    return update.left[:, indices] * update.values[indices] @ update.right[:, indices].T


def _layer(model: nn.Module, name: str) -> Tensor:
    """A layer's weight as d_out × d_in, sharing memory."""
    layer = model.get_submodule(name)
    weight = layer.get_parameter("weight").data
    return weight.T if isinstance(layer, Conv1D) else weight

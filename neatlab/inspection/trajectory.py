"""Checkpoints of one training as a trajectory: how ΔW grows, turns and changes its spectrum on the way."""

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from neatlab.adapters.factors import Delta, Factors
from neatlab.analysis.spectra import Spectrum, spectrum
from neatlab.errors import BadInput
from neatlab.inspection.adapter_folder import is_adapter
from neatlab.inspection.opening import OnLayer
from neatlab.inspection.source import Source
from neatlab.inspection.sources import open_source
from neatlab.runtime.files import PathLike
from neatlab.runtime.lazy import lazy

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})")  # as the Trainer names them
SETTLED = 0.95  # cosine with the last ΔW from which a direction counts as settled


@dataclass(frozen=True)
class Point:
    """One layer at one checkpoint.

    Args:
        step: Steps done.
        spectrum: Of ΔW.
        moved: ‖ΔW − ΔW′‖_F since the checkpoint before; since ΔW = 0 at the first.
        with_before: ⟨ΔW, ΔW′⟩ with the checkpoint before; 0 at the first.
        with_last: The same with the last checkpoint.
    """

    step: int
    spectrum: Spectrum
    moved: float
    with_before: float
    with_last: float


@dataclass(frozen=True)
class Stage:
    """All layers together, or one, at one checkpoint.

    Args:
        step: Steps done.
        norm: ‖ΔW‖_F; of several layers the root of the sum of squares.
        moved: The length of the way since the checkpoint before.
        cosine_before: Cosine of ΔW with that of the checkpoint before; NaN at the first, or where one is 0.
        cosine_last: The same with the last checkpoint's.
        effective_rank: Its median over layers.
        stable_rank: Its median over layers.
    """

    step: int
    norm: float
    moved: float
    cosine_before: float
    cosine_last: float
    effective_rank: float
    stable_rank: float


@dataclass(frozen=True)
class Trajectory:
    """Checkpoints of one training, in the order of their steps.

    Args:
        title: The folder's name.
        method: LORA, NEAT, …; "checkpoint" for whole weights.
        base: The base's path; None without one.
        layers: Layer → its points, one a checkpoint.
    """

    title: str
    method: str
    base: str | None
    layers: Mapping[str, Sequence[Point]]

    @property
    def stages(self) -> list[Stage]:
        """All layers together, a stage a checkpoint."""
        return _stages(list(self.layers.values()))

    @property
    def by_layer(self) -> dict[str, list[Stage]]:
        """Layer → its stages."""
        return {name: _stages([points]) for name, points in self.layers.items()}

    def verdict(self) -> list[str]:
        """How far, how straight and where to, in sentences."""
        stages = self.stages
        first, last = stages[0], stages[-1]
        length = sum(stage.moved for stage in stages)
        straight = f"{last.norm / length:.2f}" if length else "no"
        settled = next((s.step for i, s in enumerate(stages) if all(c >= SETTLED for c in _cosines(stages[i:]))), None)
        return [
            f"{len(stages)} checkpoints, steps {first.step:,} to {last.step:,}: ‖ΔW‖ from {first.norm:.4g} to "
            f"{last.norm:.4g}, on a way of length {length:.4g} from ΔW = 0 (straight would be 1: {straight}).",
            f"At step {first.step:,} ΔW has a cosine of {first.cosine_last:.2f} with the last; from step "
            f"{settled or last.step:,} on it stays above {SETTLED}.",
            f"Effective rank, median over {len(self.layers)} layers: {first.effective_rank:.2f} at first, "
            f"{last.effective_rank:.2f} at last.",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "trajectory": self.title,
            "method": self.method,
            "base": self.base,
            "verdict": self.verdict(),
            "stages": [vars(stage) for stage in self.stages],
            "layers": {
                name: [
                    {**vars(stage), "singular_values": point.spectrum.singular_values.tolist()}
                    for stage, point in zip(stages, self.layers[name], strict=True)
                ]
                for name, stages in self.by_layer.items()
            },
        }

    def frame(self) -> "pd.DataFrame":
        """One row a layer and checkpoint: layer, step, norm, moved, cosine_before, cosine_last and ranks."""
        return pd.DataFrame([{"layer": name, **vars(s)} for name, stages in self.by_layer.items() for s in stages])

    def spectra(self) -> "pd.DataFrame":
        """Singular values in the columns of `Results.spectra()`, so that `plots.spectrum` draws them step by step."""
        rows = [
            {
                "arm": self.title,
                "method": self.method,
                "seed": 0,
                "step": point.step,
                "layer": name,
                "singular_values": tuple(point.spectrum.singular_values.tolist()),
                "effective_rank": point.spectrum.effective_rank,
            }
            for name, points in self.layers.items()
            for point in points
        ]
        return pd.DataFrame(rows)


def checkpoints(folder: PathLike) -> dict[int, Path]:
    """Step → folder of each checkpoint in a folder that is itself no adapter, in order; {} where there are none."""
    path = Path(folder)
    if not path.is_dir() or is_adapter(path):
        return {}
    matches = ((CHECKPOINT.fullmatch(entry.name), entry) for entry in path.iterdir() if entry.is_dir())
    return dict(sorted((int(match[1]), entry) for match, entry in matches if match))


def inspect_checkpoints(
    folder: PathLike, base: PathLike | None = None, *, on_layer: OnLayer | None = None
) -> Trajectory:
    """Measure the checkpoints of one training as a trajectory.

    Three checkpoints are open at once, however many there are. Thin factors are enough: ΔW is not built.

    Args:
        folder: Holds checkpoint-10, checkpoint-20, …, as the Trainer leaves them.
        base: The model before; needed where ΔW depends on it, and for checkpoints that were trained whole.
        on_layer: Called before each layer of each checkpoint.

    Raises:
        BadInput: Fewer than two checkpoints, or some that are not of one training.
    """
    folders = checkpoints(folder)
    if len(folders) < 2:
        raise BadInput(f"{folder} holds {len(folders)} checkpoints (checkpoint-10, …); a trajectory takes two or more")
    last = before = open_source(folders[max(folders)], base)
    layers: dict[str, list[Point]] = {name: [] for name in last.layers}
    for done, (step, path) in enumerate(folders.items()):
        source = last if step == max(folders) else open_source(path, base)
        _check_same(source, last, path)
        for index, name in enumerate(layers):
            if on_layer:
                on_layer(done * len(layers) + index, len(folders) * len(layers), f"step {step}: {name}")
            layers[name].append(_point(step, source, before if done else None, last, name))
        before = source
    return Trajectory(Path(folder).resolve().name, last.method, last.base, layers)


def _check_same(source: Source, last: Source, path: Path) -> None:
    if source.method != last.method or set(source.layers) != set(last.layers):
        differing = sorted(set(source.layers) ^ set(last.layers))
        what = f"layer {differing[0]} is in one of them only" if differing else f"{source.method} and {last.method}"
        raise BadInput(f"{path} and the last checkpoint are not of one training: {what}")


def _point(step: int, source: Source, before: Source | None, last: Source, layer: str) -> Point:
    change = _double(source.read(layer).delta)
    end = change if source is last else _double(last.read(layer).delta)
    if before is None:
        return Point(step, spectrum(change), _norm(change), 0.0, _inner(change, end))
    other = _double(before.read(layer).delta)
    return Point(step, spectrum(change), _norm(_difference(change, other)), _inner(change, other), _inner(change, end))


def _double(change: Delta) -> Delta:
    return change.to(torch.float64)


def _norm(change: Delta) -> float:
    return float(change.norm())


def _difference(a: Delta, b: Delta) -> Delta:
    if isinstance(a, Factors) and isinstance(b, Factors):
        return a.minus(b)
    return _dense(a) - _dense(b)


def _inner(a: Delta, b: Delta) -> float:
    """⟨ΔW, ΔW′⟩ = Σ (LᵀL′) ∘ (R R′ᵀ), of r × r′ each."""
    if isinstance(a, Factors) and isinstance(b, Factors):
        return float(((a.left.T @ b.left) * (a.right @ b.right.T)).sum())
    return float((_dense(a) * _dense(b)).sum())


def _dense(change: Delta) -> torch.Tensor:
    return change.dense() if isinstance(change, Factors) else change


def _stages(layers: Sequence[Sequence[Point]]) -> list[Stage]:
    columns = list(zip(*layers, strict=True))  # a checkpoint each
    norms = [_root(point.spectrum.norm for point in column) for column in columns]
    return [
        Stage(
            column[0].step,
            norm,
            _root(point.moved for point in column),
            _cosine((point.with_before for point in column), norm, before),
            _cosine((point.with_last for point in column), norm, norms[-1]),
            _median(point.spectrum.effective_rank for point in column),
            _median(point.spectrum.stable_rank for point in column),
        )
        for column, norm, before in zip(columns, norms, [0.0, *norms], strict=False)
    ]


def _root(values: Iterable[float]) -> float:
    return math.sqrt(sum(value**2 for value in values))


def _cosine(inner: Iterable[float], a: float, b: float) -> float:
    return sum(inner) / (a * b) if a * b > 0 else math.nan


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return statistics.median(known) if known else math.nan


def _cosines(stages: Sequence[Stage]) -> list[float]:
    return [stage.cosine_last for stage in stages]

"""Two or more adapters on one base: which directions they share, and which are theirs alone."""

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neatlab.analysis import random_matrix
from neatlab.analysis.random_matrix import Baseline
from neatlab.analysis.subspaces import (
    Directions,
    Side,
    cosine,
    directions,
    principal_angles,
    shared_energy,
    subspace_similarity,
)
from neatlab.errors import BadInput
from neatlab.inspection.measure import LayerReport, measure, split_name
from neatlab.inspection.opening import OnLayer
from neatlab.inspection.results import Inspection
from neatlab.inspection.source import Source
from neatlab.inspection.sources import open_source
from neatlab.runtime.files import PathLike
from neatlab.runtime.lazy import lazy

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

SIDES: tuple[Side, Side] = ("left", "right")
MAX_DENSE_DIRECTIONS = 16  # directions of a dense ΔW that are compared


@dataclass(frozen=True)
class SharedSide:
    """What two updates share on one side of a layer.

    Args:
        angles: Principal angles in radians, smallest first.
        random_angles: Of random subspaces of the same sizes.
        similarity: Mean squared cosine of the angles.
        random: The same for random subspaces.
        share_of_a: Share of ‖ΔW_a‖² in b's directions.
        share_of_b: Share of ‖ΔW_b‖² in a's.
    """

    angles: Tensor
    random_angles: tuple[Baseline, ...]
    similarity: float
    random: Baseline
    share_of_a: float
    share_of_b: float


@dataclass(frozen=True)
class Pair:
    """Two updates of one layer.

    Args:
        a: Title of the one.
        b: Title of the other.
        layer: The layer.
        cosine: ⟨ΔW_a, ΔW_b⟩/(‖ΔW_a‖ ‖ΔW_b‖).
        left: What both write to.
        right: What both read from.
    """

    a: str
    b: str
    layer: str
    cosine: float
    left: SharedSide
    right: SharedSide

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        plain: dict[str, Any] = {"a": self.a, "b": self.b, "layer": self.layer, "cosine": self.cosine}
        for side in SIDES:
            shared: SharedSide = getattr(self, side)
            plain |= {
                f"angles_{side}": shared.angles.tolist(),
                f"random_angles_{side}": [baseline.mean for baseline in shared.random_angles],
                f"similarity_{side}": shared.similarity,
                f"random_similarity_{side}": shared.random.mean,
                f"share_of_a_{side}": shared.share_of_a,
                f"share_of_b_{side}": shared.share_of_b,
            }
        return plain


@dataclass(frozen=True)
class AdapterComparison:
    """Adapters on one base, each alone and in pairs.

    Args:
        inspections: One an adapter.
        pairs: One a layer that both have and a pair of adapters.
    """

    inspections: list[Inspection]
    pairs: list[Pair]

    def frame(self) -> "pd.DataFrame":
        """The inspections' rows under each other, each with its `adapter`."""
        return pd.concat([inspection.frame() for inspection in self.inspections], ignore_index=True)

    def pair_frame(self) -> "pd.DataFrame":
        """A row a pair and layer, without the angles."""
        rows = [pair.to_dict() for pair in self.pairs]
        kinds = [dict(zip(("kind", "depth"), split_name(pair.layer), strict=True)) for pair in self.pairs]
        return pd.DataFrame(
            [{**k, **{n: v for n, v in row.items() if "angles" not in n}} for k, row in zip(kinds, rows, strict=True)]
        )

    def angles(self) -> "pd.DataFrame":
        """A row a pair, layer, side and angle: `angle` and `random_angle` in radians, `i` from 1."""
        rows = [
            {"a": pair.a, "b": pair.b, "layer": pair.layer, "side": side, "i": i + 1, "angle": angle, **_random(random)}
            for pair in self.pairs
            for side in SIDES
            for i, (angle, random) in enumerate(
                zip(getattr(pair, side).angles.tolist(), getattr(pair, side).random_angles, strict=True)
            )
        ]
        columns = ["a", "b", "layer", "side", "i", "angle", "random_angle", "random_angle_std"]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "adapters": [inspection.to_dict() for inspection in self.inspections],
            "pairs": [pair.to_dict() for pair in self.pairs],
        }

    def verdict(self) -> list[str]:
        """A sentence a pair: how much of each lies in the other's directions, against chance."""
        pairs = self.pair_frame()
        return [
            f"{a} and {b}, mean of {len(rows)} layers: cosine {rows['cosine'].mean():.3f}; of what they write to, "
            f"{rows['similarity_left'].mean():.3f} is shared (random {rows['random_similarity_left'].mean():.3f}), of "
            f"what they read from {rows['similarity_right'].mean():.3f} "
            f"(random {rows['random_similarity_right'].mean():.3f})."
            for (a, b), rows in (pairs.groupby(["a", "b"], sort=False) if len(pairs) else ())
        ]


def compare_adapters(
    paths: Sequence[PathLike],
    base: PathLike | None = None,
    *,
    titles: Sequence[str] | None = None,
    directions: int = 0,
    on_layer: OnLayer | None = None,
) -> AdapterComparison:
    """Inspect adapters on one base and compare every two of them, layer by layer.

    Args:
        paths: Two or more folders, as `inspect` takes them.
        base: The base; needed where a ΔW depends on it.
        titles: Names for people; the folders' own by default.
        directions: Leading directions of W₀ to compare each with; 0 for none.
        on_layer: As in `inspect`; it counts layers.

    Raises:
        BadInput: What cannot be read, or adapters without a layer in common.
    """
    if titles is not None and len(titles) != len(paths):
        raise BadInput(f"{len(titles)} titles for {len(paths)} adapters; give one each")
    sources = [open_source(path, base) for path in paths]
    for source, title in zip(sources, titles or _titles(paths), strict=True):
        source.title = title
    return compare_sources(sources, directions=directions, on_layer=on_layer)


def compare_sources(
    sources: Sequence[Source], *, directions: int = 0, on_layer: OnLayer | None = None
) -> AdapterComparison:
    """Compare open sources; their titles must differ.

    Args:
        sources: Two or more.
        directions: As in `compare_adapters`.
        on_layer: As in `inspect`.

    Raises:
        BadInput: Fewer than two, equal titles, or no layer in common.
    """
    names = [source.title for source in sources]
    if len(sources) < 2 or len(set(names)) < len(names):
        raise BadInput(f"adapters {', '.join(names) or '(none)'}: give two or more, each with a name of its own")
    layers = list(dict.fromkeys(name for source in sources for name in source.layers))
    if not any(sum(name in source.layers for source in sources) > 1 for name in layers):
        raise BadInput(f"{names[0]} and {names[1]} have no layer in common; are they of one base?")
    reports: dict[str, list[LayerReport]] = {name: [] for name in names}
    pairs: list[Pair] = []
    for done, layer in enumerate(layers):
        if on_layer:
            on_layer(done, len(layers), layer)
        pairs += _layer(layer, [s for s in sources if layer in s.layers], directions, reports)
    return AdapterComparison([_inspection(source, reports[source.title]) for source in sources], pairs)


def _titles(paths: Sequence[PathLike]) -> list[str]:
    """The folders' names, or their paths where two share a name."""
    names = [Path(path).resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [os.fspath(path) for path in paths]


def _layer(layer: str, sources: Sequence[Source], count: int, reports: dict[str, list[LayerReport]]) -> Iterator[Pair]:
    updates: dict[str, Directions] = {}
    for source in sources:
        read = source.read(layer)
        reports[source.title].append(measure(layer, read, count, source.is_dora))
        dense = isinstance(read.delta, Tensor)
        updates[source.title] = directions(read.delta, MAX_DENSE_DIRECTIONS if dense else None)
    for a, b in itertools.combinations(updates, 2):
        _check_fit(layer, (a, updates[a]), (b, updates[b]))
        yield _pair(a, b, layer, updates[a], updates[b])


def _check_fit(layer: str, a: tuple[str, Directions], b: tuple[str, Directions]) -> None:
    shapes = [(len(update.left), len(update.right)) for _, update in (a, b)]
    if shapes[0] != shapes[1]:
        sides = [" × ".join(map(str, shape)) for shape in shapes]
        raise BadInput(f"layer {layer} is {sides[0]} in {a[0]} and {sides[1]} in {b[0]}; they are not of one base")


def _pair(a: str, b: str, layer: str, of_a: Directions, of_b: Directions) -> Pair:
    shares = shared_energy(of_a, of_b), shared_energy(of_b, of_a)
    left, right = (_side(side, of_a, of_b, shares[0][side], shares[1][side]) for side in SIDES)
    return Pair(a, b, layer, cosine(of_a, of_b), left, right)


def _side(side: Side, a: Directions, b: Directions, share_of_a: float, share_of_b: float) -> SharedSide:
    basis_a, basis_b = a.side(side), b.side(side)  # d × i, d × j
    d, i, j = len(basis_a), basis_a.shape[1], basis_b.shape[1]
    if 0 in (i, j):
        nothing = Baseline(float("nan"), float("nan"))
        return SharedSide(torch.zeros(0), (), float("nan"), nothing, share_of_a, share_of_b)
    return SharedSide(
        principal_angles(basis_a, basis_b),
        random_matrix.principal_angles(d, i, j),
        subspace_similarity(basis_a, basis_b),
        random_matrix.similarity(d, i, j),
        share_of_a,
        share_of_b,
    )


def _random(baseline: Baseline) -> dict[str, float]:
    return {"random_angle": baseline.mean, "random_angle_std": baseline.std}


def _inspection(source: Source, reports: list[LayerReport]) -> Inspection:
    return Inspection(
        source.title,
        source.method,
        dict(source.settings),
        source.base,
        reports,
        list(source.trained_whole),
        dict(source.left_out),
    )

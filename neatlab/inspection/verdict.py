"""An inspection in words: what stands out, the number behind it, and what to try."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neatlab.analysis.quantities import EXPLODED
from neatlab.inspection.measure import BaseComparison, LayerReport

COLLAPSED = 1.1  # stable rank up to which one direction holds nearly all energy
ROOM = 4  # ranks from which a collapse is one
OUTLIER = 10.0  # times the median norm, where there is no W₀ to compare with
UNTOUCHED = 1e-3  # of the median norm
ROUNDING = 1e-6
SIGMAS = 4.0  # standard deviations above a baseline from which an overlap counts as one


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict.

    Args:
        topic: What it is about, in a word or two.
        text: What stands out, with its number.
        value: That number.
        advice: What to try; empty where there is nothing to do.
        trouble: Whether it is a sign that something went wrong.
    """

    topic: str
    text: str
    value: float
    advice: str = ""
    trouble: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.advice}".strip()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self)}


def findings(layers: Sequence[LayerReport], left_out: Mapping[str, str] | None = None) -> list[Finding]:
    """Everything that stands out, the signs of trouble last.

    Args:
        layers: The reports.
        left_out: Layer → why it has none.
    """
    moved = [layer for layer in layers if not layer.spectrum.is_zero]
    candidates = [_untouched(layers, moved), _skipped(left_out or {})]
    if moved:
        checks: list[Callable[[Sequence[LayerReport]], Finding | None]] = [
            _rank_used,
            _where,
            _kinds,
            _amplified,
            _sides,
            _intruders,
            _collapsed,
            _dead,
            _exploded,
        ]
        candidates = [*(check(moved) for check in checks), *candidates]
    return sorted((f for f in candidates if f is not None), key=lambda finding: finding.trouble)


def _rank_used(layers: Sequence[LayerReport]) -> Finding:
    bounded = all(layer.requested_rank == layer.rank for layer in layers)
    possible = statistics.median(layer.rank for layer in layers)
    held = statistics.median(layer.spectrum.energy_rank() for layer in layers)
    effective = statistics.median(layer.spectrum.effective_rank for layer in layers)
    random = statistics.median(layer.random_ranks.effective.mean for layer in layers)
    what = f"Rank {possible:g} asked" if bounded else f"{possible:g} directions possible"
    text = (
        f"{what}, 90 % of the energy in {held:g} (medians over {_count(layers)}; effective rank {effective:.1f}, "
        f"random matrices of these shapes {random:.1f})."
    )
    advice = ""
    if bounded and held <= possible / 2:
        advice = f"Try rank {_between(held, effective)} and see whether the score holds."
    elif bounded and held >= 0.85 * possible:
        advice = "Nearly every direction is in use: a higher rank may help."
    return Finding("rank used", text, held, advice)


def _where(layers: Sequence[LayerReport]) -> Finding | None:
    if len(layers) < 2:
        return None
    energies = sorted(((layer.spectrum.norm**2, layer.name) for layer in layers), reverse=True)
    total, running, count = sum(energy for energy, _ in energies), 0.0, 0
    while running < total / 2:
        running += energies[count][0]
        count += 1
    share = energies[0][0] / total
    text = (
        f"Half of Σ‖ΔW‖² lies in {count} of {_count(layers)}, most of it in {energies[0][1]} "
        f"({share:.0%}; {1 / len(layers):.1%} if all changed alike)."
    )
    few = count <= len(layers) / 8
    return Finding("where", text, share, "Try an adapter on those layers alone." if few else "")


def _kinds(layers: Sequence[LayerReport]) -> Finding | None:
    energies: dict[str, float] = {}
    for layer in layers:
        energies[layer.kind] = energies.get(layer.kind, 0.0) + layer.spectrum.norm**2
    if len(energies) < 2 or len(energies) > 24:
        return None
    total = sum(energies.values())
    shares = sorted(((energy / total, kind) for kind, energy in energies.items()), reverse=True)
    text = f"By kind of layer: {', '.join(f'{kind} {share:.0%}' for share, kind in shares)} of Σ‖ΔW‖²."
    return Finding("kinds", text, shares[0][0])


def _comparisons(layers: Sequence[LayerReport]) -> list[BaseComparison]:
    return [layer.against_base for layer in layers if layer.against_base is not None]


def _amplified(layers: Sequence[LayerReport]) -> Finding | None:
    based = [c for c in _comparisons(layers) if math.isfinite(c.amplification)]
    if not based:
        return None
    median = statistics.median(c.amplification for c in based)
    random = statistics.median(c.random_amplification for c in based)
    text = (
        f"ΔW amplifies what W₀ does in its directions {median:.2g} times (median; random directions of this norm: "
        f"{random:.2g} times)."
    )
    return Finding("amplification", text, median)


def _sides(layers: Sequence[LayerReport]) -> Finding | None:
    based = [c for c in _comparisons(layers) if c.left and c.right]
    if not based:
        return None
    parts, above = [], 0
    for side, word in (("left", "writes to"), ("right", "reads from")):
        overlaps = [getattr(c, side) for c in based]
        mean = statistics.mean(o.similarity for o in overlaps)
        random = statistics.mean(o.baseline.mean for o in overlaps)
        over = sum(o.similarity > o.baseline.mean + SIGMAS * o.baseline.std + ROUNDING for o in overlaps)
        above += over
        parts.append(
            f"what it {word} overlaps W₀'s leading directions by {mean:.3f} (random {random:.3f}; "
            f"above chance in {over} of {len(overlaps)})"
        )
    text = f"{parts[0][0].upper()}{parts[0][1:]}; {parts[1]}."
    return Finding("overlap with W₀", text, float(above))


def _intruders(layers: Sequence[LayerReport]) -> Finding | None:
    based = [c for c in _comparisons(layers) if c.intruders is not None]
    if not based:
        return None
    count = sum(c.intruders.count for c in based if c.intruders)
    random = sum(c.random_intruders.count for c in based if c.random_intruders)
    undecided = sum(c.intruders.undecided for c in based if c.intruders)
    random_undecided = sum(c.random_intruders.undecided for c in based if c.random_intruders)
    dimensions = "1 intruder dimension" if count == 1 else f"{count} intruder dimensions"
    text = (
        f"{dimensions} among the leading directions of W₀ + ΔW{_open(undecided)} "
        f"(a random ΔW of the same singular values makes {random}{_open(random_undecided)})."
    )
    more = count > random + random_undecided  # no more than by chance says nothing about the training
    advice = "Intruders go with forgetting: try a smaller learning rate or scaling, or a higher rank." if more else ""
    return Finding("intruders", text, float(count), advice, trouble=more)


def _open(undecided: int) -> str:
    return f", {undecided} undecided" if undecided else ""


def _collapsed(layers: Sequence[LayerReport]) -> Finding | None:
    wide = [layer for layer in layers if (layer.requested_rank or layer.rank) >= ROOM]
    collapsed = [layer for layer in wide if layer.spectrum.stable_rank <= COLLAPSED]
    if not collapsed:
        return None
    worst = min(collapsed, key=lambda layer: layer.spectrum.stable_rank)
    text = (
        f"Collapsed spectrum in {len(collapsed)} of {_count(wide)}: {worst.name} has stable rank "
        f"{worst.spectrum.stable_rank:.2f} of {worst.requested_rank or worst.rank}."
    )
    return Finding("collapsed", text, float(len(collapsed)), "Try a lower rate, or rank 1 to 2 there.", trouble=True)


def _dead(layers: Sequence[LayerReport]) -> Finding | None:
    dead_units = [(layer.dead_units, layer.name) for layer in layers if layer.dead_units]
    if not dead_units:
        return None
    total, all_of = (
        sum(dead for dead, _ in dead_units),
        sum(layer.rank for layer in layers if layer.dead_units is not None),
    )
    dead, name = max(dead_units)
    text = f"{total} of {all_of} hidden units are dead and add nothing, most in {name} ({dead})."
    advice = "Try another activation (gelu, silu), a lower rate, or a smaller rank."
    return Finding("dead units", text, float(total), advice, trouble=True)


def _exploded(layers: Sequence[LayerReport]) -> Finding | None:
    if based := [(layer.against_base.relative_norm, layer.name) for layer in layers if layer.against_base is not None]:
        limit, what = EXPLODED, "of ‖W₀‖"
        sizes = based
    else:
        middle = statistics.median(layer.spectrum.norm for layer in layers)
        limit, what = OUTLIER, "times the median ‖ΔW‖"
        sizes = [(layer.spectrum.norm / middle, layer.name) for layer in layers]
    large = [size for size in sizes if size[0] > limit]
    if not large:
        return None
    worst, name = max(large)
    text = f"Large norm in {len(large)} of {_count(layers)}: ‖ΔW‖ of {name} is {worst:.3g} {what}."
    return Finding("norm", text, worst, "Try a lower learning rate or scaling, or weight decay.", trouble=True)


def untouched_layers(layers: Sequence[LayerReport]) -> list[LayerReport]:
    """Layers whose ΔW is next to nothing beside the others', or zero."""
    norms = [layer.spectrum.norm for layer in layers if not layer.spectrum.is_zero]
    middle = statistics.median(norms) if norms else 0.0
    return [layer for layer in layers if layer.spectrum.norm <= UNTOUCHED * middle]


def _untouched(layers: Sequence[LayerReport], moved: Sequence[LayerReport]) -> Finding | None:
    still = untouched_layers(layers)
    if not still:
        return None
    zero = len(layers) - len(moved)
    text = f"{len(still)} of {_count(layers)} are untouched ({zero} with ΔW = 0 exactly), {still[0].name} first."
    advice = (
        "The adapter has not been trained, or its scaling is 0: check that it was saved after training."
        if not moved
        else "Leave them out of target_modules, or check that gradients reach them."
    )
    return Finding("untouched", text, float(len(still)), advice, trouble=True)


def _skipped(left_out: Mapping[str, str]) -> Finding | None:
    if not left_out:
        return None
    name, reason = next(iter(left_out.items()))
    text = f"{len(left_out)} layer{'s' * (len(left_out) > 1)} left out, {name} first: {reason}."
    return Finding("left out", text, float(len(left_out)))


def _count(layers: Sequence[LayerReport]) -> str:
    return f"{len(layers)} layer{'s' * (len(layers) != 1)}"


def _between(low: float, high: float) -> str:
    """Two ranks as whole numbers, "1 to 3", or the one that both round to."""
    ranks = sorted({max(1, round(low)), max(1, round(high))})
    return " to ".join(str(rank) for rank in ranks)

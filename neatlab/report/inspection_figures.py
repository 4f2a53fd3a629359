"""The figures of an inspection, each with what it says in words."""

from typing import Any

import pandas as pd

from neatlab import plots
from neatlab.inspection import AdapterComparison, Inspection
from neatlab.report.figures import Figure

Found = Inspection | AdapterComparison
SPECTRA = 6  # lines of singular values that can be told apart


def inspection_figures(found: Found) -> list[Figure]:
    """Every figure that there is something for.

    Args:
        found: One inspection, or several beside each other.
    """
    drawn = [_norms(found), _kinds(found), _ranks(found), _spectrum(found), _overlap(found), _angles(found)]
    return [figure for figure in drawn if figure is not None]


def _norms(found: Found) -> Figure:
    frame = found.frame()
    quantity = "relative_norm" if "relative_norm" in frame else "norm"
    top = _largest(found)
    words = f"Largest ‖ΔW‖: {top['layer']} of {top['adapter']} ({top['norm']:.4g})."
    return Figure("norms", "Where the change is", words, plots.profile(found, quantity), wide=True)


def _kinds(found: Found) -> Figure | None:
    data = plots.kind_data(found)
    if len(data.kinds) < 2 or not data.adapters:
        return None
    words = "; ".join(
        f"{adapter}: most in {data.kinds[shares.index(max(shares))]} ({max(shares):.0%})"
        for adapter, shares in zip(data.adapters, data.shares, strict=True)
    )
    drawn = plots.kinds(found).update_layout(height=max(280, 60 + 32 * len(data.kinds) * len(data.adapters)))
    return Figure("kinds", "Which kinds of layer carry it", f"{words}.", drawn)


def _ranks(found: Found) -> Figure:
    means = found.frame().groupby("adapter", sort=False)[["effective_rank", "random_effective_rank"]].mean()
    words = "; ".join(
        f"{name}: mean {own:.2f}, random {random:.2f}" for name, own, random in means.itertuples(name=None)
    )
    drawn = plots.profile(found, "effective_rank")
    return Figure(
        "ranks", "Effective rank of ΔW", f"Dotted: random matrices of the same shape and rank. {words}.", drawn
    )


def _spectrum(found: Found) -> Figure | None:
    """Singular values of the layer that changed most, for the adapters that have it."""
    layer = str(_largest(found)["layer"])
    names = [one.title for one in found.inspections if any(report.name == layer for report in one.layers)]
    if len(names) > SPECTRA:
        return None
    spectra = pd.concat([one.spectra() for one in found.inspections], ignore_index=True)
    drawn = plots.spectrum(spectra, layer=layer, arms=[one.title for one in found.inspections])
    return Figure("spectrum", f"Singular values of ΔW in {layer}", "The layer that changed most.", drawn)


def _largest(found: Found) -> dict[Any, Any]:
    return found.frame().sort_values("norm").to_dict("records")[-1]


def _overlap(found: Found) -> Figure | None:
    if "overlap_left" not in found.frame():
        return None
    words = (
        "Above: what ΔW writes to; below: what it reads from. Dotted: random directions. NEAT takes one side from W₀, "
        "LoRA neither."
    )
    drawn = plots.overlap(found).update_layout(height=460)
    return Figure("overlap", "Overlap with W₀'s leading directions", words, drawn, wide=True)


def _angles(found: Found) -> Figure | None:
    if not isinstance(found, AdapterComparison) or found.angles().empty:
        return None
    words = "0° is a shared direction, 90° one of its own; mean over the layers. Dotted: random subspaces."
    drawn = plots.principal_angles(found).update_layout(height=460)
    return Figure("angles", "Principal angles between the adapters", words, drawn, wide=True)

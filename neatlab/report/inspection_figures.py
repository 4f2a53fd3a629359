"""The figures of an inspection, each with what it says in words."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from neatlab import plots
from neatlab.inspection import AdapterComparison, Inspection
from neatlab.plots.looks import short_name
from neatlab.report.figures import Figure

Source = Inspection | AdapterComparison
MAX_SPECTRA = 6  # lines of singular values that a reader can tell from each other


def inspection_figures(source: Source) -> list[Figure]:
    """Every figure that there is something for.

    Args:
        source: One inspection, or several that are compared.
    """
    drawn = [draw(source) for draw in FIGURES]
    return [figure for figure in drawn if figure is not None]


def _norms(source: Source) -> Figure:
    frame = source.frame()
    quantity = "relative_norm" if "relative_norm" in frame else "norm"
    top = _largest(source)
    words = f"Largest ‖ΔW‖: {top['layer']} of {short_name(top['adapter'])} ({top['norm']:.4g})."
    return Figure("norms", "Where the change is", words, plots.profile(source, quantity), wide=True)


def _kinds(source: Source) -> Figure | None:
    data = plots.kind_data(source)
    if len(data.kinds) < 2 or not data.adapters:
        return None
    words = "; ".join(
        f"{short_name(adapter)}: most in {data.kinds[shares.index(max(shares))]} ({max(shares):.0%})"
        for adapter, shares in zip(data.adapters, data.shares, strict=True)
    )
    drawn = plots.kinds(source).update_layout(height=max(280, 60 + 32 * len(data.kinds) * len(data.adapters)))
    return Figure("kinds", "Which kinds of layer carry it", f"{words}.", drawn)


def _ranks(source: Source) -> Figure:
    means = source.frame().groupby("adapter", sort=False)[["effective_rank", "random_effective_rank"]].mean()
    words = "; ".join(
        f"{short_name(name)}: mean {measured:.2f}, random {random:.2f}"
        for name, measured, random in means.itertuples(name=None)
    )
    drawn = plots.profile(source, "effective_rank")
    return Figure(
        "ranks", "Effective rank of ΔW", f"Dotted: random matrices of the same shape and rank. {words}.", drawn
    )


def _spectrum(source: Source) -> Figure | None:
    """Singular values of the layer that changed most, for the adapters that have it."""
    layer = str(_largest(source)["layer"])
    names = [
        inspection.title
        for inspection in source.inspections
        if any(report.name == layer for report in inspection.layers)
    ]
    if len(names) > MAX_SPECTRA:
        return None
    spectra = pd.concat([inspection.spectra() for inspection in source.inspections], ignore_index=True)
    drawn = plots.spectrum(spectra, layer=layer, arms=[inspection.title for inspection in source.inspections])
    return Figure("spectrum", f"Singular values of ΔW in {layer}", "The layer that changed most.", drawn)


def _largest(source: Source) -> dict[Any, Any]:
    return source.frame().sort_values("norm").to_dict("records")[-1]


def _overlap(source: Source) -> Figure | None:
    if "overlap_left" not in source.frame():
        return None
    words = (
        "Above: what ΔW writes to; below: what it reads from. Dotted: random directions. NEAT takes one side from W₀, "
        "LoRA neither."
    )
    drawn = plots.overlap(source).update_layout(height=460)
    return Figure("overlap", "Overlap with W₀'s leading directions", words, drawn, wide=True)


def _angles(source: Source) -> Figure | None:
    if not isinstance(source, AdapterComparison) or source.angles().empty:
        return None
    words = "0° is a shared direction, 90° one of its own; mean over the layers. Dotted: random subspaces."
    drawn = plots.principal_angles(source).update_layout(height=460)
    return Figure("angles", "Principal angles between the adapters", words, drawn, wide=True)


# Every figure, in the page's order: a row each, None where the inspection has nothing for it.
FIGURES: tuple[Callable[[Source], Figure | None], ...] = (_norms, _kinds, _ranks, _spectrum, _overlap, _angles)

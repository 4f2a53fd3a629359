"""The charts of an inspection: a chart is a function here, and a row of CHARTS."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from neatlab import plots
from neatlab.dashboard.inspect.request import InspectionResult
from neatlab.dashboard.shared.live_plot import Chart, shown
from neatlab.plots.alignment import SIDES
from neatlab.plots.looks import short_name

HEIGHT, TALL = 300, 420  # pixels; those with two panels are tall
RANDOM_OVERLAP = ["overlap_left", "random_overlap_left", "overlap_right", "random_overlap_right"]


def spectrum(result: InspectionResult | None, layer: str | None) -> str | None:
    """Singular values of a layer, with the ceiling on the rank."""
    if result is None or layer is None:
        return None
    data = plots.spectrum_data(result.spectra, layer, arms=result.titles)
    text = "; ".join(f"{line.look.name}: {len(line.x)} values, σ₁ = {line.mean[0]:.4g}" for line in data.spectra)
    return draw(plots.spectrum(result.spectra, layer, arms=result.titles), f"{layer}. {text}.", layer)


def energy(result: InspectionResult | None, layer: str | None) -> str | None:
    """Share of Σσ² in the leading directions of a layer."""
    if result is None or layer is None:
        return None
    data = plots.energy_data(result.spectra, layer, arms=result.titles)
    text = "; ".join(f"{line.look.name}: 90 % in {data.held[line.arm]} of {len(line.x)}" for line in data.shares)
    caption = f"{layer}. {text}." if text else f"{layer}. ΔW = 0, which has no energy."
    return draw(plots.energy(result.spectra, layer, arms=result.titles), caption, layer)


def profile(result: InspectionResult | None, quantity: str | None) -> str | None:
    """A quantity over the layers."""
    if result is None or quantity is None:
        return None
    data = plots.profile_data(result.layers, quantity)
    text = "; ".join(f"{line.look.name}: {_ends(data.layers, line.values)}" for line in data.lines)
    random = " Dotted: random directions." if any(line.random for line in data.lines) else ""
    return draw(plots.profile(result.layers, quantity), f"{data.name}. {text}.{random}", quantity)


def _ends(names: list[str], values: list[float]) -> str:
    finite = {name: value for name, value in zip(names, values, strict=True) if math.isfinite(value)}
    if not finite:
        return "no value, ΔW = 0"
    high, low = max(finite, key=lambda n: finite[n]), min(finite, key=lambda n: finite[n])
    return f"highest {finite[high]:.4g} in {high}" + (f", lowest {finite[low]:.4g} in {low}" if high != low else "")


def overlap(result: InspectionResult | None) -> str | None:
    """Overlap with W₀'s leading directions, the sides apart; None without W₀."""
    if result is None or "overlap_left" not in result.layers:
        return None
    means = result.layers.groupby("adapter", sort=False)[RANDOM_OVERLAP].mean()
    text = "; ".join(
        f"{short_name(name)}: writes {left:.3f} (random {random_left:.3f}), "
        f"reads {right:.3f} (random {random_right:.3f})"
        for name, left, random_left, right, random_right in means.itertuples(name=None)
    )
    return draw(plots.overlap(result.layers), f"Means over the layers. {text}. Dotted: random directions.")


def intruders(result: InspectionResult | None) -> str | None:
    """Intruder dimensions over the layers; None without W₀."""
    if result is None or "intruders" not in result.layers:
        return None
    sums = result.layers.groupby("adapter", sort=False)[["intruders", "random_intruders"]].sum()
    text = "; ".join(
        f"{short_name(name)}: {count:.0f}, random {random:.0f}" for name, count, random in sums.itertuples(name=None)
    )
    words = "Leading vectors of W₀ + ΔW with no partner in W₀. Dotted: a random ΔW of the same singular values."
    return draw(plots.profile(result.layers, "intruders"), f"In all layers: {text}. {words}")


def angles(result: InspectionResult | None, layer: str | None) -> str | None:
    """Principal angles between the two adapters in a layer; None for one adapter."""
    if result is None or result.angles is None or layer not in set(result.angles["layer"]):
        return None
    lines = plots.angle_data(result.angles, layer)
    text = "; ".join(
        f"{SIDES[line.side]}: smallest {line.angles[0]:.1f}° (random {line.random[0]:.1f}°)" for line in lines
    )
    words = "0° is a shared direction, 90° one of its own. Dotted: random subspaces."
    return draw(plots.principal_angles(result.angles, layer), f"{layer}. {text}. {words}", str(layer))


def draw(figure: Any, caption: str, view: str = "") -> str:
    """The value of a chart; its zoom is kept while `view`, or else the caption, stays the same."""
    return shown(figure.update_layout(height=None, uirevision=view or caption), caption)


class InspectChart(NamedTuple):
    """A row of CHARTS.

    Args:
        chart: Its name in the page, title and hint.
        draw: Draws it from the result, the layer and the quantity chosen; None where there is nothing to draw.
        of_layer: Whether it shows the layer chosen.
    """

    chart: Chart
    draw: Callable[[InspectionResult | None, str | None, str | None], str | None]
    of_layer: bool = False


CHARTS: dict[str, InspectChart] = {
    "spectrum": InspectChart(
        Chart(
            "inspect-spectrum",
            "Singular values of ΔW",
            "The spectrum of one layer.",
            HEIGHT,
            "Each marker is one singular value of ΔW: how strongly it acts along one direction. Nothing lies beyond "
            "the dotted ceiling. A steep fall means that fewer directions would have done.",
            scales=True,
            term="spectrum",
        ),
        lambda result, layer, quantity: spectrum(result, layer),
        of_layer=True,
    ),
    "energy": InspectChart(
        Chart(
            "inspect-energy",
            "Energy",
            "How many directions hold ΔW.",
            HEIGHT,
            "How much of ‖ΔW‖² the leading directions hold together. Beyond 90 % there is little.",
            term="energy",
        ),
        lambda result, layer, quantity: energy(result, layer),
        of_layer=True,
    ),
    "profile": InspectChart(
        Chart(
            "inspect-profile",
            "Over the layers",
            "Where the change is.",
            HEIGHT,
            "The layers in the model's order. A layer far above the others carries the change; one at 0 is idle.",
        ),
        lambda result, layer, quantity: profile(result, quantity),
    ),
    "intruders": InspectChart(
        Chart(
            "inspect-intruders",
            "Intruder dimensions",
            "Needs the base: new leading directions of W₀ + ΔW.",
            HEIGHT,
            "Directions that are strong in W₀ + ΔW and new to it. They go with forgetting.",
            term="intruder",
        ),
        lambda result, layer, quantity: intruders(result),
    ),
    "overlap": InspectChart(
        Chart(
            "inspect-overlap",
            "Overlap with W₀",
            "Needs the base: what ΔW writes to and reads from.",
            TALL,
            "1 when ΔW works in W₀'s own leading directions, the dotted line when it works in random ones. NEAT takes "
            "one side from W₀, LoRA neither.",
            term="overlap",
        ),
        lambda result, layer, quantity: overlap(result),
    ),
    "angles": InspectChart(
        Chart(
            "inspect-angles",
            "Principal angles",
            "Needs a second run: what the two share.",
            TALL,
            "Two adapters that found the same directions start at 0°; two that share nothing lie on the dotted line.",
            term="angles",
        ),
        lambda result, layer, quantity: angles(result, layer),
        of_layer=True,
    ),
}

"""An inspection as the Inspect tab shows it: verdict, table of layers, charts."""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from neatlab import plots
from neatlab.dashboard.inspect.request import Found, Scaled
from neatlab.dashboard.shared.html import number
from neatlab.dashboard.shared.live_plot import shown
from neatlab.errors import BadInput
from neatlab.plots.alignment import SIDES
from neatlab.plots.profile import QUANTITIES

NOTHING = (
    '<p class="hint">The verdict appears here: which rank is really used, where the change is, what looks wrong.</p>'
)
NO_TABLE = '<p class="hint">The table of layers appears here.</p>'
COLUMNS = {  # column of the frame → heading, digits
    "rank": ("rank", 0),
    "effective_rank": ("effective rank", 2),
    "stable_rank": ("stable rank", 2),
    "norm": ("‖ΔW‖", 4),
    "relative_norm": ("‖ΔW‖/‖W₀‖", 4),
    "overlap_left": ("overlap, left", 3),
    "overlap_right": ("overlap, right", 3),
    "intruders": ("intruders", 0),
}
FEW_LAYERS = 3  # that a caption names


def verdict(found: Found | None) -> str:
    """What stands out, a sentence a finding with its number and what to try."""
    if found is None:
        return NOTHING
    parts = [
        f"<h2>{escape(one.title)}</h2><p class='hint'>{escape(one.about)}</p>"
        f"<ul>{''.join(map(_finding, one.findings))}</ul>"
        for one in found.adapters
    ]
    if found.sentences:
        told = "".join(f"<li>{escape(text)}</li>" for text in found.sentences)
        parts.append(f"<h2>Shared and own directions</h2><ul>{told}</ul>")
    return "".join(parts)


def _finding(finding: Mapping[str, Any]) -> str:
    advice = f' <span class="advice">{escape(finding["advice"])}</span>' if finding["advice"] else ""
    mark = '<strong class="trouble">Look here:</strong> ' if finding["trouble"] else ""
    return f"<li>{mark}{escape(finding['text'])}{advice}</li>"


def table(found: Found | None) -> str:
    """A row an adapter and layer."""
    if found is None:
        return NO_TABLE
    frame, several = found.layers, len(found.adapters) > 1
    known = {name: look for name, look in COLUMNS.items() if name in frame and frame[name].notna().any()}
    head = "".join(f'<th scope="col">{name}</th>' for name in _headings(known, several))
    rows = "".join(_row(values, known, several) for values in frame.to_dict("records"))
    count = len(frame)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="layers">'
        f'<table class="summary"><caption>{count} layer{"s" * (count > 1)}; a dash: not measured, or ΔW = 0</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _headings(known: Mapping[str, tuple[str, int]], several: bool) -> list[str]:
    first = ["layer", "adapter"] if several else ["layer"]
    return [*first, "d_out × d_in", *(heading for heading, _ in known.values())]


def _row(values: Mapping[Any, Any], known: Mapping[str, tuple[str, int]], several: bool) -> str:
    cells = [str(values["adapter"])] if several else []
    cells += [f"{values['d_out']}\u00a0×\u00a0{values['d_in']}"]
    cells += [number(values[name], digits) for name, (_, digits) in known.items()]
    return f'<tr><th scope="row">{escape(values["layer"])}</th>{"".join(f"<td>{escape(c)}</td>" for c in cells)}</tr>'


def layers(found: Found | None) -> list[str]:
    """The layers' names."""
    return [] if found is None else list(dict.fromkeys(found.layers["layer"]))


def largest(found: Found | None) -> str | None:
    """The layer that changed most."""
    return None if found is None else str(found.layers.sort_values("norm")["layer"].iloc[-1])


def quantities(found: Found | None) -> list[tuple[str, str]]:
    """(name, column) of what can be drawn over the layers."""
    known = [] if found is None else [name for name in QUANTITIES if name in found.layers and name != "intruders"]
    return [(QUANTITIES[name], name) for name in known]


def _names(found: Found) -> list[str]:
    return [one.title for one in found.adapters]


def spectrum(found: Found | None, layer: str | None) -> str | None:
    """Singular values of a layer, with the ceiling on the rank."""
    if found is None or layer is None:
        return None
    data = plots.spectrum_data(found.spectra, layer, arms=_names(found))
    told = "; ".join(f"{line.arm}: largest {number(line.mean[0], 4)} of {len(line.x)}" for line in data.spectra)
    return _shown(plots.spectrum(found.spectra, layer, arms=_names(found)), f"{layer}. {told}.", layer)


def energy(found: Found | None, layer: str | None) -> str | None:
    """Share of Σσ² in the leading directions of a layer."""
    if found is None or layer is None:
        return None
    data = plots.energy_data(found.spectra, layer, arms=_names(found))
    told = "; ".join(f"{arm}: 90 % in {count} of {_ceiling(data, arm)}" for arm, count in data.held.items())
    words = f"{layer}. {told}." if told else f"{layer}. ΔW = 0, which has no energy."
    return _shown(plots.energy(found.spectra, layer, arms=_names(found)), words, layer)


def _ceiling(data: plots.EnergyData, arm: str) -> int:
    return next(len(line.x) for line in data.shares if line.arm == arm)


def profile(found: Found | None, quantity: str | None) -> str | None:
    """One quantity over the layers."""
    if found is None or quantity is None:
        return None
    data = plots.profile_data(found.layers, quantity)
    told = "; ".join(f"{line.adapter}: {_ends(data.layers, line.values)}" for line in data.lines)
    random = " Dotted: random directions." if any(line.random for line in data.lines) else ""
    return _shown(plots.profile(found.layers, quantity), f"{data.name}. {told}.{random}", quantity)


def _ends(names: list[str], values: list[float]) -> str:
    known = {name: value for name, value in zip(names, values, strict=True) if math.isfinite(value)}
    if not known:
        return "no value, ΔW = 0"
    high, low = max(known, key=lambda n: known[n]), min(known, key=lambda n: known[n])
    return f"highest {known[high]:.4g} in {high}" + (f", lowest {known[low]:.4g} in {low}" if high != low else "")


def overlap(found: Found | None) -> str | None:
    """Overlap with W₀'s leading directions, the sides apart; None without W₀."""
    if found is None or "overlap_left" not in found.layers:
        return None
    means = found.layers.groupby("adapter", sort=False)[
        ["overlap_left", "random_overlap_left", "overlap_right", "random_overlap_right"]
    ].mean()
    told = "; ".join(
        f"{name}: writes {left:.3f} (random {by_left:.3f}), reads {right:.3f} (random {by_right:.3f})"
        for name, left, by_left, right, by_right in means.itertuples(name=None)
    )
    return _shown(plots.overlap(found.layers), f"Means over the layers. {told}. Dotted: random directions.")


def intruders(found: Found | None) -> str | None:
    """Intruder dimensions over the layers; None without W₀."""
    if found is None or "intruders" not in found.layers:
        return None
    sums = found.layers.groupby("adapter", sort=False)[["intruders", "random_intruders"]].sum()
    told = "; ".join(f"{name}: {own:.0f}, random {random:.0f}" for name, own, random in sums.itertuples(name=None))
    words = "Leading vectors of W₀ + ΔW with no partner in W₀. Dotted: a random ΔW of the same singular values."
    return _shown(plots.profile(found.layers, "intruders"), f"In all layers: {told}. {words}")


def angles(found: Found | None, layer: str | None) -> str | None:
    """Principal angles between the two adapters in a layer; None for one adapter."""
    if found is None or found.angles is None or layer not in set(found.angles["layer"]):
        return None
    lines = plots.angle_data(found.angles, layer)
    told = "; ".join(
        f"{SIDES[line.side]}: smallest {line.angles[0]:.1f}° (random {line.random[0]:.1f}°)" for line in lines
    )
    words = "0° is a shared direction, 90° one of its own. Dotted: random subspaces."
    return _shown(plots.principal_angles(found.angles, layer), f"{layer}. {told}. {words}", str(layer))


def _shown(figure: Any, caption: str, view: str = "") -> str:
    return shown(figure.update_layout(height=None, uirevision=view or caption), caption)


def scaling(found: Scaled | None, at: float) -> str | None:
    """Task and base over the factor, with the slider's place."""
    if found is None:
        return None
    figure = plots.scaling(found.points, found.metric, found.base_metric, at)
    rows = found.points.sort_values("factor")
    ends = [f"{found.metric} {_range(rows['metric'])}"]
    ends += [f"{found.base_metric} {_range(rows['base_metric'])}"] if found.base_metric else []
    words = f"{found.part}, factor 0 to 1 on validation data: {'; '.join(ends)}. 1 is the model as it was trained."
    return _shown(figure, words, found.part)


def _range(values: Any) -> str:
    return f"{number(values.iloc[0], 4)} to {number(values.iloc[-1], 4)}"


def scaled(found: Scaled | None, at: Any) -> str:
    """What the slider's place means."""
    if found is None:
        return ""
    point = found.points.iloc[(found.points["factor"] - place(at)).abs().argmin()]
    told = [f"{found.metric} {number(point['metric'], 4)}", f"loss {number(point['loss'], 4)}"]
    told += [f"base: {found.base_metric} {number(point['base_metric'], 4)}"] if found.base_metric else []
    left = f"{point['energy']:.1%} of Σ‖ΔW‖² is left" if math.isfinite(point["energy"]) else "ΔW = 0"
    words = f"{found.part} at factor {point['factor']:g}: {'; '.join(told)}; {left}."
    return f'<p role="status">{escape(words)}</p>'


def place(at: Any) -> float:
    """The slider's place.

    Raises:
        BadInput: Not from 0 to 1.
    """
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= 1:
        raise BadInput(f"factor {str(at)[:40]}; allowed: 0 to 1")
    return float(at)

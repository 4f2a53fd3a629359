"""An inspection as the Inspect tab shows it: verdict, table of layers, and the slider's curve."""

import math
from collections.abc import Mapping
from typing import Any

from neatlab import plots
from neatlab.analysis.quantities import QUANTITIES, Quantity
from neatlab.dashboard.inspect.charts import draw
from neatlab.dashboard.inspect.request import InspectionResult, ScalingCurve
from neatlab.dashboard.shared.html import plural
from neatlab.errors import BadInput
from neatlab.plots.profile import PROFILED
from neatlab.runtime.numbers import number
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
NOTHING = _HTML.nothing()
NO_TABLE = _HTML.no_table()
ABOUT_SCALING = _HTML.about_scaling()
COLUMNS = (
    "rank",
    "effective_rank",
    "stable_rank",
    "norm",
    "relative_norm",
    "overlap_left",
    "overlap_right",
    "intruders",
)


def verdict(result: InspectionResult | None) -> str:
    """What stands out, a sentence a finding with its number and what to try."""
    return NOTHING if result is None else _HTML.verdict(result.adapters, result.sentences)


def table(result: InspectionResult | None) -> str:
    """A row an adapter and layer."""
    if result is None:
        return NO_TABLE
    frame, several = result.layers, len(result.adapters) > 1
    columns = {name: QUANTITIES[name] for name in COLUMNS if name in frame and frame[name].notna().any()}
    labels = [quantity.label for quantity in columns.values()]
    head = ["layer", *(["adapter"] if several else []), "d_out × d_in", *labels]
    rows = [(values["layer"], _cells(values, columns, several)) for values in frame.to_dict("records")]
    return _HTML.table(plural(len(layers(result)), "layer"), head, rows)


def _cells(values: Mapping[Any, Any], columns: Mapping[str, Quantity], several: bool) -> list[str]:
    cells = [str(values["adapter"])] if several else []
    cells += [f"{values['d_out']}\u00a0×\u00a0{values['d_in']}"]
    return cells + [number(values[name], quantity.digits) for name, quantity in columns.items()]


def layers(result: InspectionResult | None) -> list[str]:
    """The layers' names."""
    return [] if result is None else list(dict.fromkeys(result.layers["layer"]))


def largest(result: InspectionResult | None) -> str | None:
    """The layer that changed most."""
    return None if result is None else str(result.layers.sort_values("norm")["layer"].iloc[-1])


def quantities(result: InspectionResult | None) -> list[tuple[str, str]]:
    """(name, column) of what can be drawn over the layers."""
    if result is None:
        return []
    return [(QUANTITIES[name].axis, name) for name in PROFILED if name in result.layers and name != "intruders"]


def scaling(curve: ScalingCurve | None, at: float) -> str | None:
    """Task and base over the factor, with a mark at the slider's factor."""
    if curve is None:
        return None
    figure = plots.scaling(curve.points, curve.metric, curve.base_metric, at)
    rows = curve.points.sort_values("factor")
    ends = [f"{curve.metric} {_range(rows['metric'])}"]
    ends += [f"{curve.base_metric} {_range(rows['base_metric'])}"] if curve.base_metric else []
    words = f"{curve.part}, factor 0 to 1 on validation data: {'; '.join(ends)}. 1 is the model as it was trained."
    return draw(figure, words, curve.part)


def _range(values: Any) -> str:
    return f"{number(values.iloc[0], 4)} to {number(values.iloc[-1], 4)}"


def scaled(curve: ScalingCurve | None, at: Any) -> str:
    """What the model scores at the slider's factor."""
    if curve is None:
        return ""
    point = curve.points.iloc[(curve.points["factor"] - factor(at)).abs().argmin()]
    scores = [f"{curve.metric} {number(point['metric'], 4)}", f"loss {number(point['loss'], 4)}"]
    scores += [f"base: {curve.base_metric} {number(point['base_metric'], 4)}"] if curve.base_metric else []
    left = f"{point['energy']:.1%} of Σ‖ΔW‖² is left" if math.isfinite(point["energy"]) else "ΔW = 0"
    return _HTML.scaled(f"{curve.part} at factor {point['factor']:g}: {'; '.join(scores)}; {left}.")


def factor(at: Any) -> float:
    """The slider's factor.

    Raises:
        BadInput: Not from 0 to 1.
    """
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= 1:
        raise BadInput(f"factor {str(at)[:40]}; allowed: 0 to 1")
    return float(at)

"""An inspection as one self-contained page: verdict, figures, a table of layers, and how to repeat it."""

from collections.abc import Sequence
from typing import Any

from neatlab.analysis.quantities import QUANTITIES, Quantity
from neatlab.inspection import AdapterComparison, Inspection
from neatlab.report.figures import Figure
from neatlab.report.inspection_figures import inspection_figures
from neatlab.report.page import check_target, page, write_page
from neatlab.report.words import DASH, breakable, escape, legend, number, row, table
from neatlab.runtime.environment import package_versions
from neatlab.runtime.files import PathLike

COLUMNS = (
    "energy_rank_90",
    "effective_rank",
    "stable_rank",
    "norm",
    "relative_norm",
    "amplification",
    "overlap_left",
    "overlap_right",
    "intruders",
    "dead_units",
)
HOW_TO_READ = (
    "Effective rank exp(−Σ p ln p), p = σ/Σσ. Stable rank Σσ²/σ₁². Overlap ‖AᵀB‖²_F/min(i, j) of ΔW's and W₀'s leading "
    "directions: left is what a layer writes to, right what it reads from. Amplification ‖ΔW‖_F/‖UᵀW₀V‖_F in ΔW's "
    "directions. Intruders: leading vectors of W₀ + ΔW with no partner in W₀ above cosine 0.5. A dash: not measured, "
    "or ΔW = 0. Every value from random directions stands beside its measured one in the figures."
)


def write_inspection(found: Inspection | AdapterComparison, path: PathLike, command: str) -> None:
    """Write an inspection as one HTML page that asks for nothing outside itself.

    Args:
        found: What to report.
        path: The file; an old one is replaced.
        command: The command that repeats it, shown as it is.

    Raises:
        BadInput: The file cannot be written.
    """
    check_target(path)
    write_page(render_inspection(found, command), path)


def render_inspection(found: Inspection | AdapterComparison, command: str) -> str:
    """The page as text.

    Args:
        found: What to report.
        command: The command that repeats it.
    """
    names = [one.title for one in found.inspections]
    title = f"What {' and '.join(names) if len(names) < 4 else f'{len(names)} adapters'} did to the weights"
    drawn = inspection_figures(found)
    body = [
        f"<h1>{escape(title)}</h1>",
        *(_adapter(one) for one in found.inspections),
        _pairs(found),
        _figures(drawn, names),
        *(_layers(one) for one in found.inspections),
        f"<p class='quiet'>{escape(HOW_TO_READ)}</p>",
        _repeat(command),
    ]
    return page(title, body, drawn)


def _adapter(one: Inspection) -> str:
    said = "".join(
        f"<li>{'<strong>' * found.trouble}{escape(found.text)}{'</strong>' * found.trouble} {escape(found.advice)}</li>"
        for found in one.verdict()
    )
    entries = {"method": one.method, "base": one.base or "not given", "layers": len(one.layers), **one.settings}
    shown = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in entries.items())
    return f"<h2>{escape(one.title)}</h2><ul class='verdict'>{said}</ul><dl class='setup'>{shown}</dl>"


def _pairs(found: Inspection | AdapterComparison) -> str:
    if not isinstance(found, AdapterComparison):
        return ""
    said = "".join(f"<li>{escape(text)}</li>" for text in found.verdict())
    return f"<h2>Shared and own directions</h2><ul class='verdict'>{said}</ul>"


def _figures(drawn: Sequence[Figure], names: Sequence[str]) -> str:
    shown = "\n".join(figure.html() for figure in drawn)
    return f'<h2>Figures</h2>{legend(names)}<div class="figures">{shown}</div>'


def _layers(one: Inspection) -> str:
    frame = one.frame()
    known = {name: QUANTITIES[name] for name in COLUMNS if name in frame and frame[name].notna().any()}
    rows = [
        row(breakable(str(values["layer"])), [_shape(values), *_cells(values, known)])
        for values in frame.to_dict("records")
    ]
    head = ("layer", "d_out × d_in", "rank", *(quantity.label for quantity in known.values()))
    left_out = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in one.left_out.items())
    listed = f"<p>Left out:</p><ul>{left_out}</ul>" if left_out else ""
    shown = table(head, rows, f"Layers of {one.title}")
    details = f"<details open><summary>{len(rows)} layers</summary>{shown}</details>"
    return f"<h2>Layers of {escape(one.title)}</h2>{details}{listed}"


def _shape(values: dict[Any, Any]) -> str:
    return f"{values['d_out']} × {values['d_in']}"


def _cells(values: dict[Any, Any], known: dict[str, Quantity]) -> list[str]:
    cells = [str(values["rank"])]
    return cells + [
        number(values[name], quantity.digits) if values[name] is not None else DASH for name, quantity in known.items()
    ]


def _repeat(command: str) -> str:
    versions = package_versions().items()
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in versions)
    return f"<h2>Repeat it</h2><pre>{escape(command)}</pre><dl class='setup'>{entries}</dl>"

"""An inspection as one self-contained page: verdict, figures, a table of layers, and how to repeat it."""

from typing import Any

from markupsafe import Markup

from neatlab.analysis.quantities import QUANTITIES
from neatlab.inspection import AdapterComparison, Inspection
from neatlab.plots.looks import looks
from neatlab.report.figures import section
from neatlab.report.inspection_figures import inspection_figures
from neatlab.report.markup import breakable, row, table
from neatlab.report.page import check_target, page, write_page
from neatlab.runtime.environment import package_versions
from neatlab.runtime.files import PathLike
from neatlab.runtime.numbers import number
from neatlab.runtime.templates import macros

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


def write_inspection(source: Inspection | AdapterComparison, path: PathLike, command: str) -> None:
    """Write an inspection as one HTML page that asks for nothing outside itself.

    Args:
        source: What to report.
        path: The file; an old one is replaced.
        command: The command that repeats it, shown as it is.

    Raises:
        BadInput: The file cannot be written.
    """
    check_target(path)
    write_page(render_inspection(source, command), path)


def render_inspection(source: Inspection | AdapterComparison, command: str) -> str:
    """The page as text.

    Args:
        source: What to report.
        command: The command that repeats it.
    """
    names = [inspection.title for inspection in source.inspections]
    title = f"What {' and '.join(names) if len(names) < 4 else f'{len(names)} adapters'} did to the weights"
    shown = looks(names, {inspection.title: inspection.method for inspection in source.inspections})
    drawn, html = inspection_figures(source), macros(__file__)
    body = [
        *(_adapter(inspection) for inspection in source.inspections),
        html.pairs(source.verdict()) if isinstance(source, AdapterComparison) else Markup(),
        section("Figures", shown, drawn),
        *(_layers(inspection) for inspection in source.inspections),
        html.quiet(HOW_TO_READ),
        html.repeat(command, package_versions()),
    ]
    return page(title, body, drawn)


def _adapter(inspection: Inspection) -> Markup:
    base, count = inspection.base or "not given", len(inspection.layers)
    settings = {"method": inspection.method, "base": base, "layers": count, **inspection.settings}
    return macros(__file__).adapter(inspection.title, inspection.verdict(), settings)


def _layers(inspection: Inspection) -> Markup:
    frame, title = inspection.frame(), inspection.title
    columns = [name for name in COLUMNS if name in frame and frame[name].notna().any()]
    rows = [row(breakable(str(values["layer"])), _cells(values, columns)) for values in frame.to_dict("records")]
    head = ("layer", "d_out × d_in", "rank", *(QUANTITIES[name].label for name in columns))
    layers = table(head, rows, f"Layers of {title}")
    return macros(__file__).layers(title, len(rows), layers, inspection.left_out)


def _cells(values: dict[Any, Any], columns: list[str]) -> list[str]:
    first = [f"{values['d_out']} × {values['d_in']}", str(values["rank"])]
    return first + [number(values[name], QUANTITIES[name].digits) for name in columns]

"""Numbers, names and small HTML, every text escaped."""

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from neatlab.plots.theme import style

DASH = "–"
WORDS = ("b", "arm", "status", "shown")  # columns of words, aligned to the left

# The markers of plots/theme.py on a field of 12 × 12.
SHAPES = {
    "circle": '<circle cx="6" cy="6" r="5"/>',
    "square": '<path d="M1.5 1.5h9v9h-9z"/>',
    "diamond": '<path d="M6 0l6 6-6 6-6-6z"/>',
    "triangle-up": '<path d="M6 1l5.5 10H.5z"/>',
    "cross": '<path d="M4 0h4v4h4v4H8v4H4V8H0V4h4z"/>',
    "x": '<path d="M3 .5l3 3 3-3L11.500 3l-3 3 3 3L9 11.500l-3-3-3 3L.5 9l3-3-3-3z"/>',
}


def escape(value: Any) -> str:
    """A value as text of a page."""
    return html.escape(str(value))


def breakable(label: str) -> str:
    """An arm as text of a page that breaks between its options."""
    return escape(label).replace(",", ",<wbr>").replace(":", ":<wbr>")


def number(value: Any, digits: int = 4) -> str:
    """A number for people; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:,.{digits}f}"


def p_number(value: float | None) -> str:
    """A p-value for people."""
    if value is None or not math.isfinite(value):
        return DASH
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def bytes_number(value: float | None) -> str:
    """A size for people."""
    if value is None or not math.isfinite(value):
        return DASH
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def key(place: int) -> str:
    """The marker of the arm at `place`, as the figures draw it."""
    look = style(place)
    return f'<svg class="key" viewBox="0 0 12 12" fill="{look.colour}" aria-hidden="true">{SHAPES[look.marker]}</svg>'


def legend(arms: Sequence[str]) -> str:
    """Marker and name of every arm, for all figures below it."""
    items = "".join(f"<li>{key(place)}{breakable(arm)}</li>" for place, arm in enumerate(arms))
    return f"<details open><summary>{len(arms)} arms</summary><ul class='legend'>{items}</ul></details>"


def table(head: Iterable[str], rows: Iterable[str], label: str) -> str:
    """A table that scrolls by itself on a narrow screen; `rows` are ready made."""
    cells = "".join(f'<th scope="col"{" class=words" * (name in WORDS)}>{escape(name)}</th>' for name in head)
    opened = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table>'
    return f"{opened}<thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def row(first: str, cells: Iterable[str], kind: str = "") -> str:
    """A table row; `first` is ready made, the cells are not. Cells that do not begin like a number hold words."""
    others = "".join(f"<td{_kind(cell)}>{breakable(cell)}</td>" for cell in cells)
    mark = f' class="{kind}"' if kind else ""
    return f'<tr{mark}><th scope="row">{first}</th>{others}</tr>'


def _kind(cell: str) -> str:
    return ' class="words"' if len(cell) > 1 and cell[0].isalpha() else ""

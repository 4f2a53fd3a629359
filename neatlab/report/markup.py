"""Small HTML that reports and the page share, from the macros in markup.html; every text is escaped there."""

from collections.abc import Iterable, Mapping

from markupsafe import Markup, escape

from neatlab.plots.looks import Look
from neatlab.runtime.templates import macros

__all__ = ["breakable", "escape", "key", "legend", "row", "table"]


def breakable(label: str) -> Markup:
    """An arm as text of a page that breaks between its options."""
    return macros(__file__).breakable(label)


def key(look: Look, line: bool = True) -> Markup:
    """Marker of an arm on a piece of its line, as the figures draw them; the marker alone without `line`."""
    return macros(__file__).key(look, line)


def legend(looks: Mapping[str, Look]) -> Markup:
    """Key and name of every arm, for all figures below it."""
    return macros(__file__).legend(looks)


def table(head: Iterable[str], rows: Iterable[Markup], label: str) -> Markup:
    """A table that scrolls by itself on a narrow screen; `rows` are ready made."""
    return macros(__file__).table(head, rows, label)


def row(first: Markup, cells: Iterable[str], kind: str = "") -> Markup:
    """A table row; `first` is ready made, the cells are not."""
    return macros(__file__).row(first, list(cells), kind)

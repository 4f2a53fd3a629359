"""Small HTML that reports and the page share, from the macros in markup.html; every text is escaped there."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from neatlab.plots.theme import style
from neatlab.runtime.templates import macros

__all__ = ["breakable", "escape", "key", "legend", "row", "table"]


def breakable(label: str) -> Markup:
    """An arm as text of a page that breaks between its options."""
    return macros(__file__).breakable(label)


def key(index: int) -> Markup:
    """The marker of the arm at `index`, as the figures draw it."""
    return macros(__file__).key(style(index).marker, style(index).colour)


def legend(arms: Sequence[str]) -> Markup:
    """Marker and name of every arm, for all figures below it."""
    return macros(__file__).legend([(arm, style(index)) for index, arm in enumerate(arms)])


def table(head: Iterable[str], rows: Iterable[Markup], label: str) -> Markup:
    """A table that scrolls by itself on a narrow screen; `rows` are ready made."""
    return macros(__file__).table(head, rows, label)


def row(first: Markup, cells: Iterable[str], kind: str = "") -> Markup:
    """A table row; `first` is ready made, the cells are not."""
    return macros(__file__).row(first, list(cells), kind)

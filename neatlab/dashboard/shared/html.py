"""Small pieces of the page's HTML, and numbers as it writes them."""

import html
import math
from typing import Any

DASH = "–"


def number(value: Any, digits: int) -> str:
    """A number for people; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:,.{digits}f}"


def status(text: str, detail: str = "", done: int = 0, total: int = 0) -> str:
    """The status line.

    Args:
        text: What the page does; read out by screen readers when it changes.
        detail: What changes several times a second, and so is not read out.
        done: Steps done.
        total: Steps in all.
    """
    bar = f'<progress max="{max(total, 1)}" value="{done}" aria-label="steps done"></progress>'
    return f'<p class="status-text"><span role="status">{html.escape(text)}</span> {html.escape(detail)}</p>{bar}'


def mistake(text: str) -> str:
    """A message beside the fields that it is about."""
    return f'<p role="alert">{html.escape(text[:600])}</p>'

"""Numbers for people, the same in the terminal, in reports and on the page; a dash where there is none."""

import math
from typing import Any

DASH = "–"
NAN = float("nan")


def or_nan(value: Any) -> Any:
    """NaN for a value that is not known."""
    return NAN if value is None else value


def is_known(value: float | None) -> bool:
    """Whether there is a number to show."""
    return value is not None and math.isfinite(value)


def number(value: Any, digits: int = 4) -> str:
    """A number with so many digits after the point."""
    return f"{value:,.{digits}f}" if is_known(value) else DASH


def signed(value: Any) -> str:
    """A difference, with its sign."""
    return f"{value:+.4f}" if is_known(value) else DASH


def interval(low: float, high: float) -> str:
    """The two ends of an interval of scores."""
    return f"{low:.4f} to {high:.4f}" if math.isfinite(low) else DASH


def signed_interval(low: float, high: float) -> str:
    """The two ends of an interval of differences."""
    return f"{low:+.4f} to {high:+.4f}" if math.isfinite(low) else DASH


def p_number(value: float | None) -> str:
    """A p-value."""
    if value is None or not math.isfinite(value):
        return DASH
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def bytes_number(value: float | None) -> str:
    """A size in memory."""
    if value is None or not math.isfinite(value):
        return DASH
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"


def duration(seconds: float) -> str:
    """A time."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"

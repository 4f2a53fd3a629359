"""How an arm is shown everywhere: short name, colour and marker follow its method, whatever stands next to it."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from neatlab.adapters.methods import METHODS

# Method → colour and marker. Every colour has 3:1 contrast on a light and on a dark page; two methods of one marker are
# also told apart by those who see no red, no green or no blue. The tests compute both.
TABLE = {
    "lora": ("#1779ba", "circle"),
    "neat": ("#d55e00", "square"),
    "peanut": ("#b8478f", "diamond"),
    "rslora": ("#5e8fd8", "x"),
    "dora": ("#009e73", "triangle-up"),
    "pissa": ("#8f6ed5", "triangle-up"),
    "vera": ("#9a7b00", "cross"),
    "fourierft": ("#2496a6", "cross"),
    "ia3": ("#c2703d", "pentagon"),
    "hira": ("#e0524f", "triangle-down"),
    "loha": ("#6d9135", "diamond"),
    "lokr": ("#b06fc4", "triangle-down"),
    "miss": ("#d4649a", "star"),
    "gralora": ("#6f80e0", "square"),
    "oft": ("#a3806a", "circle"),
    "full": ("#76828f", "pentagon"),
    "head": ("#9c8f86", "x"),
}
# What is no arm, and adapters of a method that nobody knows: a colour of its own, then those of rarer methods.
NO_METHOD = (("#8b8fa8", "hexagon"), *(TABLE[method] for method in ("fourierft", "vera", "lokr", "miss", "loha")))
# Variants of one method: lighter (to white) and darker (to black) in turn. Five dashes to four shades: 20 that differ.
SHADES = (0.0, 0.3, -0.25, 0.5)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
PEFT_NAMES = {"checkpoint": "full"}  # an inspection's name of a method → ours, where they differ in more than case
WORDS = {"rank": "r {}", "activation": "{}"}
LABEL = re.compile(r"(\w+)(?::(\S*))?(.*)", re.DOTALL)  # method, options, and the settings or the run that follow


class Look(NamedTuple):
    """How one arm is shown.

    Args:
        name: Its short name, as in "NEAT r 4, depth 2".
        colour: As #rrggbb.
        marker: Plotly's name of a symbol.
        dash: Plotly's name of a line's pattern.
    """

    name: str
    colour: str
    marker: str
    dash: str = "solid"


def looks(arms: Iterable[str], methods: Mapping[str, str] = MappingProxyType({})) -> dict[str, Look]:
    """The look of every arm; it does not depend on the order of the arms.

    Args:
        arms: Labels, such as "neat:rank=4,depth=2", or titles of adapters.
        methods: Arm → its method, where the label does not begin with it.

    Returns:
        Arm → look: variants of a method differ in shade and dash; the one with the fewest settings has its pure colour.
    """
    order = list(dict.fromkeys(arms))
    names = [short_name(arm) for arm in order]
    ranked: dict[str, int] = {}
    shown = {}
    for arm in sorted(order, key=_simple_first):
        method = _method(methods.get(arm) or arm.partition(":")[0])
        ranked[method] = index = ranked.get(method, -1) + 1
        name = short_name(arm)
        shown[arm] = _variant(name if names.count(name) == 1 else arm, method, index)
    return {arm: shown[arm] for arm in order}


def look(arm: str) -> Look:
    """The look of one arm by itself."""
    return looks([arm])[arm]


@lru_cache(4096)  # live charts ask for the same arms several times a second
def short_name(label: str) -> str:
    """An arm as legends write it: "NEAT r 4, depth 2" for "neat:rank=4,depth=2"; another text as it is."""
    parts = LABEL.match(label)
    if parts is None or parts[1] not in METHODS:
        return label
    method, options, rest = parts.groups()
    words = [_words(*option.partition("=")[::2]) for option in (options or "").split(",") if option]
    return " ".join(filter(None, [METHODS[method].title, ", ".join(words)])) + rest


def _words(option: str, value: str) -> str:
    return WORDS[option].format(value) if option in WORDS else f"{option.replace('_', ' ')} {value}"


def _method(name: str) -> str:
    """The method as TABLE has it; empty where it has none."""
    method = PEFT_NAMES.get(name.lower(), name.lower())
    return method if method in TABLE else ""


@lru_cache(4096)
def _simple_first(label: str) -> tuple[int, list[tuple[float, str]], str]:
    """Fewest settings first, numbers by their size."""
    parts = re.findall(r"(\d+(?:\.\d+)?(?:e-?\d+)?)|(\D+)", label)
    return label.count("=") + label.count(" "), [(float(number or -1), text) for number, text in parts], label


def _variant(name: str, method: str, index: int) -> Look:
    if not method:
        rounds, place = divmod(index, len(NO_METHOD))
        return Look(name, *NO_METHOD[place], DASHES[rounds % len(DASHES)])
    colour, marker = TABLE[method]
    return Look(name, shaded(colour, SHADES[index % len(SHADES)]), marker, DASHES[index % len(DASHES)])


def shaded(colour: str, share: float) -> str:
    """`colour` mixed with a share of white, or of black where the share is negative."""
    end = 255 if share > 0 else 0
    mixed = [round(part + (end - part) * abs(share)) for part in rgb(colour)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def faded(colour: str, share: float) -> str:
    """`colour` at `share` of its opacity."""
    return f"rgba({','.join(map(str, rgb(colour)))},{share:g})"


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of #rrggbb, 0 to 255."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue

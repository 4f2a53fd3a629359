"""Rules that an adapter has to pass before it is used, read from a file, and which of its layers fail them."""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neatlab.analysis.quantities import QUANTITIES
from neatlab.errors import BadInput, shown, unknown
from neatlab.inspection.measure import LayerReport
from neatlab.inspection.results import Inspection
from neatlab.inspection.verdict import untouched_layers
from neatlab.runtime.files import PathLike, open_regular

MAX_BYTES = 2**16  # of a file of rules
FLAGS = {
    "untouched": "a layer whose ΔW is next to nothing beside the others'",
    "nan": "a tensor that holds NaN or infinite values",
}
SIDES: dict[str, Callable[[float, float], bool]] = {"below": float.__lt__, "above": float.__gt__}
RANKS = ("rank", "effective_rank", "stable_rank", "participation_ratio", "energy_rank_90")  # 0 where ΔW = 0
OF_BASE = ("relative_norm", "amplification", "overlap_left", "overlap_right", "intruders")  # need W₀
RULES = (*(f"{name}_{side}" for name in QUANTITIES for side in SIDES), *FLAGS)
EXAMPLE = "effective_rank_below = 1.5"


@dataclass(frozen=True)
class Failure:
    """A layer that fails a rule.

    Args:
        rule: The rule's name.
        adapter: Title of the adapter.
        layer: The layer; of `nan` the tensor.
        value: What was measured; NaN where it is no number.
        text: What is wrong with it.
    """

    rule: str
    adapter: str
    layer: str
    value: float
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.layer}: {self.text}"


@dataclass(frozen=True)
class Rules:
    """Rules of a file, checked.

    Args:
        bounds: Rule → its bound, of those that compare a quantity.
        flags: The others that are on.
    """

    bounds: Mapping[str, float]
    flags: Sequence[str]

    @property
    def names(self) -> list[str]:
        """All rules that are on."""
        return [*self.bounds, *self.flags]

    @property
    def of_base(self) -> str | None:
        """The first rule that needs W₀."""
        return next((rule for rule in self.bounds if _quantity(rule)[0] in OF_BASE), None)

    def about(self, rule: str) -> str:
        """What fails the rule, in words."""
        if rule in FLAGS:
            return FLAGS[rule]
        name, side = _quantity(rule)
        return f"{QUANTITIES[name].label} {side} {self.bounds[rule]:g}"

    def to_dict(self) -> dict[str, Any]:
        """Rule → what it was given."""
        return {**self.bounds, **dict.fromkeys(self.flags, True)}

    def failures(self, inspection: Inspection) -> list[Failure]:
        """Every layer that fails a rule, rule by rule.

        Args:
            inspection: What was measured.

        Raises:
            BadInput: A rule about what was not measured.
        """
        by_rule = [self._of_bound(rule, inspection) for rule in self.bounds]
        return [failure for failures in by_rule for failure in failures] + self._untouched(inspection)

    def _of_bound(self, rule: str, inspection: Inspection) -> list[Failure]:
        name, side = _quantity(rule)
        rows = [(layer, layer.to_dict()) for layer in inspection.layers]
        missing = [
            layer.name for layer, row in rows if name in OF_BASE and name not in row and not layer.spectrum.is_zero
        ]
        if missing:
            hint = " with --directions from 1" if name not in ("relative_norm", "amplification") else ""
            raise BadInput(
                f"rule {rule}: {missing[0]} has no {QUANTITIES[name].label}; give the base with --base{hint}"
            )
        measured = [(layer.name, _value(name, layer, row), row) for layer, row in rows]
        return [
            Failure(rule, inspection.title, layer, value, self._text(rule, value, row))
            for layer, value, row in measured
            if value is not None and self._fails(rule, name, side, value, row)
        ]

    def _fails(self, rule: str, name: str, side: str, value: float, row: Mapping[str, Any]) -> bool:
        """What could be on the wrong side is: an intruder that float32 leaves undecided counts as one."""
        most = value + (row.get("intruders_undecided") or 0) if (name, side) == ("intruders", "above") else value
        return SIDES[side](most, self.bounds[rule])

    def _text(self, rule: str, value: float, row: Mapping[str, Any]) -> str:
        name, side = _quantity(rule)
        undecided = row.get("intruders_undecided") if name == "intruders" else 0
        also = f" and {undecided} undecided" if undecided else ""
        written = QUANTITIES[name].spec.format(value)
        return f"{QUANTITIES[name].label} {written}{also}, {side} {QUANTITIES[name].spec.format(self.bounds[rule])}"

    def _untouched(self, inspection: Inspection) -> list[Failure]:
        still = untouched_layers(inspection.layers) if "untouched" in self.flags else []
        return [
            Failure("untouched", inspection.title, layer.name, norm, f"‖ΔW‖ is {norm:.3g}")
            for layer in still
            for norm in [layer.spectrum.norm]
        ]


def read_rules(path: PathLike) -> Rules:
    """The rules of a TOML file, a line each: `effective_rank_below = 1.5`, `untouched = true`.

    Args:
        path: The file.

    Raises:
        BadInput: No such file, no TOML, an unknown rule, or a value of another type.
    """
    try:
        with open_regular(Path(path), MAX_BYTES) as file:
            values = tomllib.loads(file.read().decode("utf-8"))
    except OSError as error:
        raise BadInput(f"rules {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # of TOML, and of bytes that are no text
        raise BadInput(f"rules {path}: no TOML ({error}); a line is such as {EXAMPLE}") from error
    if not values:
        raise BadInput(f"rules {path} holds no rule; a line is such as {EXAMPLE}")
    for name, value in values.items():
        _check(name, value)
    flags = [name for name in FLAGS if values.get(name)]
    return Rules({name: float(value) for name, value in values.items() if name not in FLAGS}, flags)


def _check(name: str, value: Any) -> None:
    if isinstance(value, dict):
        raise BadInput(f"rule {name!r} is a table; rules stand outside of tables, a line each, such as {EXAMPLE}")
    if name not in RULES:
        raise _unknown(name)
    if name in FLAGS:
        if not isinstance(value, bool):
            raise BadInput(f"rule {name}={shown(value)}; allowed: true, or false, which leaves it out")
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        hint = f"; did you mean {name} = {value}?" if isinstance(value, str) and _is_number(value) else ""
        raise BadInput(f"rule {name}={shown(value)}; allowed: a number{hint}")


def _unknown(name: str) -> BadInput:
    """What a quantity's bare name is meant to say is asked; of others the closest is offered."""
    if name in QUANTITIES:
        return BadInput(f"rule {name!r} says no side; allowed: {name}_below, {name}_above")
    return unknown("rule", name, RULES)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _quantity(rule: str) -> tuple[str, str]:
    """(quantity, "below" or "above")."""
    name, _, side = rule.rpartition("_")
    return name, side


def _value(name: str, layer: LayerReport, row: Mapping[str, Any]) -> float | None:
    """What the rule is about; None where the layer has no such thing, as dead units where ΔW is dense."""
    if layer.spectrum.is_zero and name in RANKS:
        return 0.0
    value = row.get(name)
    return None if value is None or math.isnan(value) else float(value)

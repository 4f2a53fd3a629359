"""What a visitor may ask the server to sweep: depths × activations × seeds of one arm, held against LoRA."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from neatlab.adapters.activations import COMPARED
from neatlab.analysis.looks import LOOKS, MAX_SEEDS
from neatlab.config import Arm, RunConfig, make_arm, make_run, parse_arm
from neatlab.dashboard.shared.choices import check_arm, known_task, repeatable
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.errors import BadInput
from neatlab.schema import Schema
from neatlab.tasks import TaskField, TaskSpec

FIELDS = ("base", "depth", "activation", "run")  # what a message can stand next to
DEPTHS = tuple(range(2, 9))
MAX_RUNS = 100
MAX_FIXED_SEEDS = 5
MAX_MARGIN = 1e6
MAX_BASE_LENGTH = 200  # characters of the base arm


def _seed_count(value: Any) -> Any:
    if value == "auto":
        return value
    if str(value).strip() not in map(str, range(1, MAX_FIXED_SEEDS + 1)):
        raise ValueError(f"give 1 to {MAX_FIXED_SEEDS}, or auto for as many as decide it")
    return int(value)


SeedCount = Annotated[int | Literal["auto"], BeforeValidator(_seed_count)]


class SweepLimits(Schema):
    """What one visitor may ask of the machine that serves the page; larger sweeps belong on the command line."""

    seeds: SeedCount = 3
    steps: int | None = Field(None, ge=1, le=5000)
    margin: float | None = Field(None, ge=0, le=MAX_MARGIN)


class SweepOrder(SweepLimits):
    """A grid of depths and activations, checked as far as that goes without a model.

    Args:
        task: One that the page offers, or the one that a window's upload stands for.
        base: Label of the arm that the grid varies.
        depths: Depths L, rising.
        activations: Activations σ, in the order of COMPARED.
        seeds: How many seeds; "auto" for as many as decide.
        steps: Optimiser steps; None takes the task's default.
        margin: The largest difference that does not matter; None takes the metric's.
    """

    task: TaskField
    base: str
    depths: tuple[int, ...]
    activations: tuple[str, ...]

    @classmethod
    def check(
        cls,
        task: Any,
        base: Any,
        depths: Any,
        activations: Any,
        seeds: Any,
        steps: Any,
        margin: Any = None,
        *,
        uploads: Mapping[str, TaskSpec] | None = None,
    ) -> Self:
        """The order, or why not.

        Args:
            task: Text of one that the page offers, or a key of `uploads`.
            base: An arm as one writes it.
            depths: Some of DEPTHS, as numbers or text.
            activations: Some of COMPARED.
            seeds: 1 to 5, or "auto".
            steps: 1 to 5000; nothing takes the task's default.
            margin: From 0; nothing takes the metric's.
            uploads: Key → task, of the window that asks.

        Raises:
            FieldError: Says where the mistake is.
        """
        try:
            spec = known_task(task, uploads or {})
        except BadInput as error:
            raise FieldError("run", str(error)) from None
        arm = _base_arm(base)
        several = chosen("depth", [_whole(depth) for depth in _several(depths)], DEPTHS)
        functions = chosen("activation", _several(activations), COMPARED)
        _check_depths(arm, several)
        limits = _limits(seeds, steps, margin)
        order = cls(task=spec, base=arm.label, depths=several, activations=functions, **limits.model_dump())
        return order._within_limits()

    def _within_limits(self) -> Self:
        arms = len(self.depths) * len(self.activations) + 1
        count = arms * (LOOKS[0] if self.seeds == "auto" else self.seeds)
        if count > MAX_RUNS:
            raise FieldError("run", f"{count} runs; at most {MAX_RUNS} from this page, more with: {self.command}")
        try:
            runs_of(self)
        except BadInput as error:
            raise FieldError("run", str(error)) from None
        return self

    @property
    def max_seeds(self) -> int:
        """The most seeds that an arm may get, so that the runs stay within this page's limit."""
        if self.seeds != "auto":
            return self.seeds
        return min(MAX_SEEDS, MAX_RUNS // (len(self.depths) * len(self.activations) + 1))

    @property
    def grid(self) -> dict[str, list[Any]]:
        """Axis → values, as `neatlab.sweep` takes them."""
        return {"depth": list(self.depths), "activation": list(self.activations)}

    @property
    def reference(self) -> str:
        """The arm that the others are held against: LoRA of the same rank and learning rate."""
        arm = parse_arm(self.base)
        shared = {"rank": arm.options["rank"]} | ({} if arm.lr is None else {"lr": arm.lr})
        return make_arm("lora", shared).label

    @property
    def training(self) -> dict[str, Any]:
        """Fields of `TrainingConfig`; None stands for the task's default."""
        return {"steps": self.steps}

    def runs(self) -> tuple[RunConfig, ...]:
        """The reference's runs, then those of the grid, arm by arm; with seeds "auto" all that there may be."""
        return runs_of(self)

    @property
    def command(self) -> str:
        """The command that does the same."""
        axes = [f"--grid {axis}={','.join(map(str, values))}" for axis, values in self.grid.items()]
        words = [f"python -m neatlab sweep --task {repeatable(self.task)} --arm {self.base}", *axes]
        words += [f"--seeds {self.seeds} --reference {self.reference}"]
        words += [f"--max-seeds {self.max_seeds}"] if self.seeds == "auto" else []
        given = {"steps": self.steps, "margin": self.margin}
        return " ".join(words + [f"--{name} {value:g}" for name, value in given.items() if value is not None])


@lru_cache(maxsize=256)
def runs_of(order: SweepOrder) -> tuple[RunConfig, ...]:
    """The runs of an order; cached, as the page asks for them twice a second."""
    base, task = parse_arm(order.base), order.task
    points = [{"depth": depth, "activation": function} for depth in order.depths for function in order.activations]
    arms = [parse_arm(order.reference), *(make_arm(base.method, base.given() | point) for point in points)]
    seeds = range(order.max_seeds)
    return tuple(make_run(task.name, arm, seed, task.options, order.training) for arm in arms for seed in seeds)


def _base_arm(text: Any) -> Arm:
    try:
        if not isinstance(text, str) or len(text) > MAX_BASE_LENGTH:
            raise BadInput(f"the base arm is a line of at most {MAX_BASE_LENGTH} characters, such as neat:rank=4")
        arm = parse_arm(text)
        if missing := {"rank", "depth", "activation"} - arm.options.keys():
            raise BadInput(f"{arm.method} has no {' and no '.join(sorted(missing))}; take neat, such as neat:rank=4")
        return check_arm("a", arm.method, arm.given())
    except BadInput as error:
        raise FieldError("base", str(error)) from None


def _check_depths(base: Arm, depths: Sequence[int]) -> None:
    impossible = [depth for depth in depths if depth % 2]
    if impossible and base.options.get("residual") == "paired":
        plain = make_arm(base.method, base.given() | {"residual": "none"}).label
        raise FieldError(
            "depth",
            f"depth {', '.join(map(str, impossible))} cannot be built: paired residuals need an even depth; "
            f"take even depths, or residual=none in the base arm: {plain}",
        )


def _limits(seeds: Any, steps: Any, margin: Any) -> SweepLimits:
    lines = {"steps": steps, "margin": margin}
    given = {name: None if value is None or not str(value).strip() else value for name, value in lines.items()}
    try:
        return SweepLimits.parse({"seeds": seeds, **given}, "this page")
    except BadInput as error:
        raise FieldError("run", str(error)) from None


def _several(values: Any) -> list[Any]:
    return list(values)[: MAX_RUNS + 1] if isinstance(values, list | tuple) else []


def _whole(value: Any) -> Any:
    """ "4" as 4; anything else as it is, to be refused by its name."""
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 4 else value


def chosen(field: str, values: Sequence[Any], allowed: Sequence[Any]) -> tuple[Any, ...]:
    """The values in the order of `allowed`, once each.

    Raises:
        FieldError: Another value, or none.
    """
    for value in values:
        if isinstance(value, bool) or value not in allowed:
            raise FieldError(field, f"{field} {str(value)[:40]!r}; allowed: {', '.join(map(str, allowed))}")
    if not values:
        raise FieldError(field, f"choose at least one {field}")
    return tuple(value for value in allowed if value in values)

"""What a visitor may ask the server to sweep: axes × seeds of one arm, held against a reference."""

import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from neatlab.adapters.methods import METHODS
from neatlab.analysis.looks import LOOKS, MAX_SEEDS
from neatlab.config import Arm, RunConfig, make_arm, make_run, parse_arm
from neatlab.dashboard.shared.choices import check_arm, known_task, repeatable
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.sweeps.axes import SHARE, SIZE, SIZES, Value, read_axes
from neatlab.dashboard.sweeps.limits import SweepLimits, read_limits
from neatlab.errors import BadInput
from neatlab.tasks import TaskField, TaskSpec

if TYPE_CHECKING:
    from neatlab.experiments.plan import Plan

FIELDS = ("base", "depth", "activation", "axes", "reference", "run")  # what a message can stand next to
MAX_RUNS = 100
MAX_ARM_LENGTH = 200  # characters of an arm
TRIES = 4  # learning rates that a search tries of each arm
SCALES = 2  # and scalings, where it has one


class Cell(NamedTuple):
    """One arm on one task; on every seed a run.

    Args:
        task: The task.
        arm: The arm.
        share: Of the training data that it learns from.
    """

    task: TaskSpec
    arm: Arm
    share: float = 1.0

    @property
    def key(self) -> tuple[str, float, str]:
        """What tells it from the others."""
        return *self.setting, self.arm.label

    @property
    def setting(self) -> tuple[str, float]:
        """What it shares with the arms that it is compared with."""
        return str(self.task), self.share


class SweepOrder(SweepLimits):
    """A grid of axes, checked as far as that goes without a model.

    Args:
        task: One that the page offers, or the one that a window's upload stands for.
        base: Label of the arm that the grid varies.
        axes: Axis and its values, in the order of AXES.
        reference: Label of the arm that the others are held against.
        others: Labels of arms that stand as they are; with axes there are none.
        batch_size: Examples a step; None takes the task's default.
        seeds: How many seeds; "auto" for as many as decide.
        steps: Optimiser steps; None takes the task's default.
        margin: The largest difference that does not matter; None takes the metric's.
        rates: "auto" finds the learning rate and scaling of each arm that names no rate; None takes the task's.
    """

    task: TaskField
    base: str
    axes: tuple[tuple[str, tuple[Value, ...]], ...]
    reference: str
    others: tuple[str, ...] = ()
    batch_size: int | None = None

    @classmethod
    def check(
        cls,
        task: Any,
        base: Any,
        axes: Mapping[str, Any],
        settings: Mapping[str, Any],
        reference: Any = None,
        uploads: Mapping[str, TaskSpec] | None = None,
    ) -> Self:
        """The order, or why not.

        Args:
            task: Text of one that the page offers, or a key of `uploads`.
            base: An arm as one writes it.
            axes: Axis → values, as numbers or text; without any the arm stays as it is.
            settings: Fields of `SweepLimits`, as a form has them: an empty one takes its default.
            reference: An arm, or a method of the base arm's rank and learning rate; nothing takes LoRA.
            uploads: Key → task, of the window that asks.

        Raises:
            FieldError: Says where the mistake is.
        """
        try:
            spec = known_task(task, uploads or {})
        except BadInput as error:
            raise FieldError("run", str(error)) from None
        arm = _arm("base", base)
        read = read_axes(arm, spec.name, axes)
        if has_odd_depth(read) and "residual" in arm.options:
            arm = make_arm(arm.method, arm.given() | {"residual": "none"})
            read |= {"residual": ("none",)} if "residual" in read else {}
        held = _reference(reference, arm).label
        limits = read_limits(settings).model_dump()
        order = cls(task=spec, base=arm.label, axes=tuple(read.items()), reference=held, **limits)
        return order.within_limits()

    @classmethod
    def of_arms(cls, task: TaskSpec, arms: Sequence[Arm], steps: int, batch_size: int) -> Self:
        """Arms as they stand, the first the reference, on as many seeds as decide; each at its own rate if that fits.

        Unchecked: `within_limits` says whether it can be run.
        """
        first, *others, last = [arm.label for arm in arms]
        about: dict[str, Any] = {"others": tuple(others), "steps": steps, "batch_size": batch_size}
        order = cls(task=task, base=last, axes=(), reference=first, seeds="auto", **about)
        return order.model_copy(update={"rates": "auto"}) if order.can_tune else order

    def within_limits(self) -> Self:
        """The order itself.

        Raises:
            FieldError: It is more than this page does, or its arms cannot be compared.
        """
        try:
            count = self.search_count + len(self.cells) * (LOOKS[0] if self.seeds == "auto" else self.seeds)
            if count > MAX_RUNS:
                raise BadInput(f"{count} runs; at most {MAX_RUNS} from this page, more with: {self.command}")
            if len(self.cells) < 2:
                raise BadInput(f"{self.base} is the reference too; choose values to vary, or another reference")
            _ = plans_of(self) if self.rates else runs_of(self)
        except BadInput as error:
            raise FieldError("run", str(error)) from None
        return self

    @property
    def max_seeds(self) -> int:
        """The most seeds that an arm may get, so that the runs stay within this page's limit."""
        if self.seeds != "auto":
            return self.seeds
        return min(MAX_SEEDS, (MAX_RUNS - self.search_count) // len(self.cells))

    @property
    def search_count(self) -> int:
        """How many runs a search for learning rates takes at most."""
        return sum(map(_tries, self.cells)) if self.rates else 0

    def fits(self, seeds: int) -> bool:
        """Whether so many seeds stay within this page's limit."""
        return self.search_count + seeds * len(self.cells) <= MAX_RUNS

    @property
    def can_tune(self) -> bool:
        """Whether a search would find another rate for some arm, and fits into this page's limit."""
        searched = self.model_copy(update={"rates": "auto"})
        least = LOOKS[0] if self.seeds == "auto" else self.seeds
        is_apart = not {"scaling", "alpha"} & dict(self.axes).keys()
        return is_apart and self.rates is None and searched.search_count > 0 and searched.fits(least)

    @property
    def grid(self) -> dict[str, list[Any]]:
        """Axis → values, as `neatlab.sweep` takes them."""
        return {_task_axis(self.task) if axis == SIZE else axis: list(values) for axis, values in self.axes}

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Of each task the reference, then the arms of the grid."""
        return cells_of(self)

    @property
    def training(self) -> dict[str, Any]:
        """Fields of `TrainingConfig`; None stands for the task's default."""
        return {"steps": self.steps, "batch_size": self.batch_size}

    def runs(self) -> tuple[RunConfig, ...]:
        """The runs of all cells, with seeds "auto" all that there may be; before a search for learning rates."""
        return runs_of(self)

    @property
    def command(self) -> str:
        """The command that does the same."""
        axes = [f"--grid {axis}={','.join(map(_text, values))}" for axis, values in self.grid.items()]
        words = [f"python -m neatlab sweep --task {repeatable(self.task)} --arm {self.base}", *axes]
        words += [f"--seeds {self.seeds} --reference {self.reference}"]
        words += [f"--max-seeds {self.max_seeds}"] if self.seeds == "auto" else []
        words += ["--lr auto"] if self.rates else []
        given = {"steps": self.steps, "margin": self.margin}
        return " ".join(words + [f"--{name} {value:g}" for name, value in given.items() if value is not None])


@lru_cache(maxsize=256)
def cells_of(order: SweepOrder) -> tuple[Cell, ...]:
    """The cells of an order, once each: in each setting the reference, the other arms that stand, those of the grid."""
    axes, standing = dict(order.axes), [parse_arm(label) for label in (order.reference, *order.others)]
    shared = {name: axes.pop(name) for name in (SIZE, SHARE) if name in axes}
    points, settings = _points(axes), _points(shared)
    cells = [
        cell
        for setting in settings
        for cell in (
            *(cell_at(order, setting)._replace(arm=arm) for arm in standing),
            *(cell_at(order, point | setting) for point in points),
        )
    ]
    return tuple({cell.key: cell for cell in cells}.values())


def _points(axes: Mapping[str, Sequence[Value]]) -> list[dict[str, Value]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def cell_at(order: SweepOrder, point: Mapping[str, Value]) -> Cell:
    """The cell of one value an axis."""
    base, options = parse_arm(order.base), {n: value for n, value in point.items() if n not in (SIZE, SHARE)}
    task = order.task.varied({SIZES[order.task.name][0]: point[SIZE]}) if SIZE in point else order.task
    return Cell(task, make_arm(base.method, base.given() | options), float(point.get(SHARE, 1.0)))


def _tries(cell: Cell) -> int:
    arm = cell.arm
    is_free = arm.lr is None and METHODS[arm.method].trains != "head"
    return (TRIES + SCALES * bool({"scaling", "alpha"} & arm.options.keys())) * is_free


@lru_cache(maxsize=256)
def runs_of(order: SweepOrder) -> tuple[RunConfig, ...]:
    """The runs of an order; cached, as the page asks for them twice a second."""
    return tuple(
        make_run(cell.task.name, cell.arm, seed, cell.task.options, order.training | {SHARE: cell.share})
        for cell in order.cells
        for seed in range(order.max_seeds)
    )


def has_odd_depth(axes: Mapping[str, Any]) -> bool:
    """Whether a depth is among the values that paired residuals cannot have."""
    return any(depth % 2 for depth in axes.get("depth", ()))


def _task_axis(task: TaskSpec) -> str:
    return f"task.{SIZES[task.name][0]}"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _arm(field: str, text: Any) -> Arm:
    try:
        if not isinstance(text, str) or len(text) > MAX_ARM_LENGTH:
            raise BadInput(f"an arm is a line of at most {MAX_ARM_LENGTH} characters, such as neat:rank=4")
        arm = parse_arm(text)
    except BadInput as error:
        raise FieldError(field, str(error)) from None
    return check_arm(field, arm.method, arm.given())


def _reference(text: Any, base: Arm) -> Arm:
    """The arm of this text; a method alone has the base arm's rank and learning rate."""
    method = str(text or "").strip() or "lora"
    if method not in METHODS:
        return _arm("reference", text)
    options = METHODS[method].options.model_fields
    shared = {"rank": base.options["rank"]} if "rank" in base.options and "rank" in options else {}
    return check_arm("reference", method, shared | ({} if base.lr is None else {"lr": base.lr}))


@lru_cache(maxsize=64)
def plans_of(order: SweepOrder) -> "tuple[Plan, ...]":
    """A plan a setting, of which the search for learning rates is a part.

    Raises:
        BadInput: Arms that differ only in what is searched for.
    """
    from neatlab.experiments.plan import Plan  # not above: it imports torch, and few sweeps search

    first = {cell.setting: cell for cell in order.cells}
    arms = {setting: [cell.arm for cell in order.cells if cell.setting == setting] for setting in first}
    training = {setting: order.training | {SHARE: cell.share} for setting, cell in first.items()}
    return tuple(Plan(cell.task, arms[setting], training[setting], "auto") for setting, cell in first.items())

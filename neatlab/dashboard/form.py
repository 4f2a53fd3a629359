"""From the page's fields to two runs; each refusal says in which part of the form the mistake is."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field

from neatlab.adapters.methods import METHODS
from neatlab.config import Arm, RunConfig, make_arm, make_run
from neatlab.errors import BadInput, unknown
from neatlab.lab import parse_task
from neatlab.schema import Schema

Part = Literal["a", "b", "run"]
ARMS: tuple[Literal["a", "b"], ...] = ("a", "b")

# What the page offers as a task, written as on the command line.
TASK_CHOICES = {
    "digits, turned and inverted": "digits",
    "teacher, ΔW* a function of W₀": "teacher:kind=weight-aware",
    "teacher, ΔW* of low rank": "teacher:kind=low-rank",
    "teacher, ΔW* of full rank": "teacher:kind=full-rank",
}


class RunLimits(Schema):
    """What one visitor may ask of the machine that serves the page; longer runs belong on the command line."""

    steps: int | None = Field(None, ge=1, le=5000)
    lr: float | None = Field(None, gt=0, le=100)
    seed: int = Field(0, ge=0, lt=2**32)


class ArmLimits(Schema):
    """The same for an arm."""

    rank: int = Field(4, ge=1, le=512)
    depth: int = Field(2, le=16)


class Refusal(BadInput):
    """A form that cannot be run.

    Args:
        part: Where the mistake is: one of the arms, or the settings of the run.
        message: What was wrong and what is allowed.
    """

    def __init__(self, part: Part, message: str) -> None:
        super().__init__(message)
        self.part = part


class Request(NamedTuple):
    """A form that can be run: the two runs and the command that repeats them with more seeds."""

    configs: tuple[RunConfig, RunConfig]
    command: str


def option_names(method: str) -> list[str]:
    """The options that a method has."""
    return list(METHODS[method].options.model_fields)


def read_form(values: Mapping[str, Any]) -> Request:
    """Check the form.

    Args:
        values: Field → value: "task", "steps", "lr", "seed", and for each arm "a.method", "a.rank", …

    Returns:
        The runs.

    Raises:
        Refusal: Something cannot be run; says where.
    """
    arms = [read_arm(part, values) for part in ARMS]
    if arms[0].label == arms[1].label:
        raise Refusal("b", f"both arms are {arms[0].label}; change one of them")
    try:
        given = {name: values.get(name) for name in RunLimits.model_fields}
        limits = RunLimits.parse({n: None if _empty(v) else v for n, v in given.items()}, "this page")
        task, options = parse_task(str(values.get("task")))
        training = {"steps": limits.steps, "lr": limits.lr}
        first, second = (make_run(task, arm, limits.seed, options, training) for arm in arms)
    except BadInput as error:
        raise Refusal("run", str(error)) from None
    return Request((first, second), _command(str(values["task"]), arms, limits))


def read_arm(part: Literal["a", "b"], values: Mapping[str, Any]) -> Arm:
    """One arm of the form; options that its method does not have are left aside.

    Raises:
        Refusal: The arm cannot be built.
    """
    method = values.get(f"{part}.method")
    try:
        if method not in METHODS:
            raise unknown("arm", method, METHODS)
        given = {name: values.get(f"{part}.{name}") for name in option_names(method)}
        options = {name: value for name, value in given.items() if not _left_empty(method, name, value)}
        bounded = {name: options[name] for name in ArmLimits.model_fields if name in options}
        ArmLimits.parse(bounded, "this page")
        return make_arm(method, options)
    except BadInput as error:
        raise Refusal(part, str(error)) from None


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _left_empty(method: str, name: str, value: Any) -> bool:
    """Whether an empty field stands for the option's own default, which is itself empty."""
    return _empty(value) and METHODS[method].options.model_fields[name].default is None


def _command(task: str, arms: list[Arm], limits: RunLimits) -> str:
    words = ["python -m neatlab compare", f"--task {task}"] + [f"--arm {arm.label}" for arm in arms]
    words += [f"--steps {limits.steps}"] if limits.steps else []
    words += [f"--lr {limits.lr:g}"] if limits.lr else []
    return " ".join([*words, "--seeds 3"])

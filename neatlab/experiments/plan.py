"""From a request to runs: which arms, at which size and which learning rate, on which seeds."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from neatlab.adapters.attach import target_shapes
from neatlab.adapters.budget import matched
from neatlab.adapters.methods import METHODS
from neatlab.adapters.placement import place
from neatlab.config import Arm, RunConfig, make_arm, make_run, parse_arm
from neatlab.errors import BadInput, unknown
from neatlab.runs.run import Run
from neatlab.tasks import TaskSpec

Finish = Callable[[Sequence[RunConfig]], list[Run]]

TUNING_SEED = 2**31  # far from the seeds that people report on
RATE_GRID = (0.1, 0.3, 1.0, 3.0)  # times the task's default learning rate, the same for every arm
SCALE_GRID = (0.3, 3.0)  # times the update's scaling, at the best rate; LoRA's is α/r


class Plan:
    """One task, some arms and the settings that they share.

    Args:
        task: A task, or its text, such as "teacher:kind=low-rank,d_in=64".
        arms: Arms, or their text.
        training: Fields of `TrainingConfig`; None stands for the task's default.
        lr: Learning rate of every adapter that names none; "auto" leaves it to `tuned`.
        match: "rank" or "params" sizes every adapter as the first one; None leaves them as they are.

    Raises:
        BadInput: Something that cannot be run.
    """

    def __init__(
        self,
        task: str | TaskSpec,
        arms: Sequence[str | Arm],
        training: Mapping[str, Any],
        lr: float | str | None = None,
        match: str | None = None,
    ) -> None:
        self._task = TaskSpec.parse(task)
        self._training = {**training, "lr": _shared_rate(lr)}
        self.arms = [parse_arm(arm) if isinstance(arm, str) else arm for arm in arms]
        if match is not None:
            self.arms = self._matched(match)
        labels = [arm.label for arm in self.arms]
        if not labels or len(set(labels)) < len(labels):
            raise BadInput(f"arms {labels}; give at least one, and none twice")
        if lr == "auto":
            self._check_apart()
        self.runs([0])

    def _check_apart(self) -> None:
        """Refuse arms that differ only in what the search chooses: it could make one of two."""
        kinds: dict[str, str] = {}
        for arm in self.arms:
            fixed = {name: value for name, value in arm.options.items() if name not in ("alpha", "scaling")}
            kind = str((arm.method, fixed))
            if kind in kinds:
                raise BadInput(f"arms {kinds[kind]!r} and {arm.label!r} differ only in what lr='auto' chooses")
            kinds[kind] = arm.label

    def runs(self, seeds: Iterable[int]) -> list[RunConfig]:
        """Every arm on every seed, arm by arm."""
        numbers = list(seeds)
        return [self._run(arm, seed) for arm in self.arms for seed in numbers]

    def tuned(self, finish: Finish) -> tuple["Plan", list[Run]]:
        """The plan whose arms have the learning rate, then the scaling, that do best on the validation split.

        Every arm gets the same grid, on a seed that is not reported and without the test split. An arm that
        names its learning rate, and one with nothing but a head, stays as it is.

        Args:
            finish: Trains runs and returns them.

        Returns:
            The plan, and the runs of the search; their cost is part of the answer.
        """
        free = {arm.label: arm for arm in self._free}
        search: list[Run] = []
        for grid in (self._rates, _scales):
            tried = {label: [self._run(a, TUNING_SEED, "tune") for a in grid(arm)] for label, arm in free.items()}
            search += finish([config for configs in tried.values() for config in configs])
            free = {label: self._best([arm.label, *tried[label]], search) for label, arm in free.items()}
        plan = copy(self)
        plan.arms = [free.get(arm.label, arm) for arm in self.arms]
        return plan, search

    @property
    def search_size(self) -> int:
        """How many runs `tuned` asks for."""
        return sum(len(grid(arm)) for arm in self._free for grid in (self._rates, _scales))

    @property
    def _free(self) -> list[Arm]:
        """The arms whose learning rate is to be chosen."""
        return [arm for arm in self.arms if arm.lr is None and METHODS[arm.method].trains != "head"]

    def _best(self, tried: Sequence[RunConfig | str], search: Sequence[Run]) -> Arm:
        """The arm of the run that did best among `tried`: configurations, or labels of arms tried before."""
        ids = {config.run_id for config in tried if isinstance(config, RunConfig)}
        runs = [run for run in search if run.run_id in ids or run.config.arm.label in tried]
        return min(runs, key=self._validation_cost).config.arm

    def _validation_cost(self, run: Run) -> float:
        by = self._task.row.selects_by
        value = run.summary.get(f"validation_{by}")
        if run.status != "finished" or value is None:
            return math.inf
        upward = by == "metric" and run.config.spec.metric.higher_is_better
        return -value if upward else value

    def _run(self, arm: Arm, seed: int, purpose: Any = "report") -> RunConfig:
        return make_run(self._task.name, arm, seed, self._task.options, self._training, purpose)

    def _rates(self, arm: Arm) -> list[Arm]:
        base = self._task.row.training["lr"] * METHODS[arm.method].lr_factor
        return [arm.model_copy(update={"lr": float(f"{base * share:.3g}")}) for share in RATE_GRID]

    def _matched(self, match: str) -> list[Arm]:
        if match not in ("rank", "params"):
            raise unknown("match", match, ("rank", "params"))
        adapters = [arm for arm in self.arms if METHODS[arm.method].trains == "adapter"]
        if not adapters:
            raise BadInput("match needs an arm with an adapter to match the others to")
        sized = iter(self._same_rank(adapters) if match == "rank" else self._same_count(adapters))
        return [next(sized) if METHODS[arm.method].trains == "adapter" else arm for arm in self.arms]

    def _same_rank(self, arms: list[Arm]) -> list[Arm]:
        rank = arms[0].options.get("rank")
        if rank is None:
            raise BadInput(f"match='rank': the first adapter, {arms[0].label!r}, has no rank; put one that has first")
        return [make_arm(a.method, a.given() | ({"rank": rank} if "rank" in a.options else {})) for a in arms]

    def _same_count(self, arms: list[Arm]) -> list[Arm]:
        task = self._run(arms[0], 0).spec.load()
        model = task.base_model()
        given = [METHODS[arm.method].options(**arm.options) for arm in arms]
        shapes = [target_shapes(model, place(model, options, task.targets, task.head)) for options in given]
        options = matched([*zip([arm.method for arm in arms], given, shapes, strict=True)])
        return [make_arm(a.method, a.given() | o.model_dump()) for a, o in zip(arms, options, strict=True)]


def _scales(arm: Arm) -> list[Arm]:
    options = arm.options
    if "scaling" in options:
        return [_with(arm, scaling=options["scaling"] * share) for share in SCALE_GRID]
    if "alpha" in options:
        return [_with(arm, alpha=(options["alpha"] or options["rank"]) * share) for share in SCALE_GRID]
    return []


def _with(arm: Arm, **options: float) -> Arm:
    return arm.model_copy(update={"options": {**arm.options, **options}})


def _shared_rate(lr: float | str | None) -> float | None:
    if lr is None or lr == "auto":
        return None
    try:
        return float(lr)
    except ValueError:
        raise BadInput(f"lr={lr!r}; give a positive number or 'auto'") from None

"""A sweep as the store has it: its runs that have ended, those that are to be there next, and its arms as trained."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from neatlab.analysis.looks import LOOKS
from neatlab.config import Arm, RunConfig
from neatlab.dashboard.sweeps.request import SweepOrder, plans_of
from neatlab.errors import NeatlabError
from neatlab.experiments.sequential import SeedRequest, wanted_runs
from neatlab.runs.comparison import Comparison
from neatlab.runs.run import Run
from neatlab.runs.store import Store

Finished = Callable[[RunConfig], Run | None]
Planned = tuple[tuple[RunConfig, ...], tuple[Run, ...], frozenset[str]]


class SweepSnapshot(NamedTuple):
    """What is known of a sweep.

    Args:
        order: The sweep.
        ended: Its runs that have ended, by id; those of the search for learning rates too.
        wanted: Ids of the runs that are to be there: all, or those of the look that comes next or has decided.
        configs: The runs of its cells, cell by cell and seed by seed; empty while their rates are searched for.
        search: The runs that chose the learning rates, as far as they have ended.
    """

    order: SweepOrder
    ended: dict[str, Run]
    wanted: frozenset[str]
    configs: tuple[RunConfig, ...]
    search: tuple[Run, ...] = ()

    @property
    def is_searching(self) -> bool:
        """Whether the learning rates are not known yet."""
        return not self.configs

    @property
    def total(self) -> int:
        """Runs in all, those of a search included; with seeds "auto" up to the look that comes next or has decided."""
        if not self.is_searching:
            return len(self.wanted | self.ended.keys())
        order = self.order
        return order.search_count + len(order.cells) * (LOOKS[0] if order.seeds == "auto" else order.seeds)

    @property
    def complete(self) -> bool:
        """Whether all of them have ended."""
        return not self.is_searching and self.wanted <= self.ended.keys()

    @property
    def reference(self) -> str:
        """Label of the reference, at the learning rate that was found for it."""
        return self.arms[0].label

    @property
    def arms(self) -> list[Arm]:
        """Every cell's arm as it is trained, in the order of `SweepOrder.cells`."""
        return [config.arm for config in self.configs[:: self.order.max_seeds]] or [c.arm for c in self.order.cells]

    def of_cell(self, index: int) -> list[Run]:
        """The runs of one of `SweepOrder.cells` that have ended."""
        seeds = self.order.max_seeds
        configs = self.configs[index * seeds : (index + 1) * seeds]
        return [self.ended[config.run_id] for config in configs if config.run_id in self.ended]

    def comparison(self) -> Comparison | None:
        """The runs that have ended; None where there is none."""
        runs = [self.ended[config.run_id] for config in self.configs if config.run_id in self.ended]
        return _compare(runs, self.order, self.reference, self.search) if runs else None


def read_sweep(order: SweepOrder, store: Store, before: SweepSnapshot | None = None) -> SweepSnapshot:
    """Read a sweep's runs.

    Args:
        order: The sweep.
        store: Where they are.
        before: What was read of it before.
    """
    known = before.ended if before else {}

    def finished(config: RunConfig) -> Run | None:
        return known.get(config.run_id) or store.finished(config)

    configs, search, searched = _planned(order, finished, before)
    ended = {run.run_id: run for config in configs if (run := finished(config)) is not None}
    ended |= {run.run_id: run for run in search}
    if before and ended.keys() == before.ended.keys() and configs == before.configs:
        return SweepSnapshot(order, ended, before.wanted, configs, search)
    wanted = _wanted(order, configs, ended) if configs else frozenset()
    return SweepSnapshot(order, ended, wanted | searched, configs, search)


def _planned(order: SweepOrder, finished: Finished, before: SweepSnapshot | None) -> Planned:
    """The runs of the cells, the runs of the search that have ended, and the ids of those that are to be there."""
    if not order.rates:
        return order.runs(), (), frozenset()
    if before and before.configs:
        return before.configs, before.search, frozenset(run.run_id for run in before.search)
    return _searched(order, finished)


class _Missing(NeatlabError):
    """A run of the search is not there."""


def _searched(order: SweepOrder, finished: Finished) -> Planned:
    tried: list[RunConfig] = []
    there: list[Run] = []

    def stored(configs: Sequence[RunConfig]) -> list[Run]:
        runs = [run for config in configs if (run := finished(config)) is not None]
        tried.extend(configs)
        there.extend(runs)
        if len(runs) < len(configs):
            raise _Missing
        return runs

    configs: list[RunConfig] = []
    try:
        for plan in plans_of(order):
            configs += plan.tuned(stored)[0].runs(range(order.max_seeds))
    except _Missing:
        configs = []
    return tuple(configs), tuple(there), frozenset(config.run_id for config in tried)


def _wanted(order: SweepOrder, configs: Sequence[RunConfig], ended: Mapping[str, Run]) -> frozenset[str]:
    reference = configs[0].arm.label
    wanted = wanted_runs(
        _seeds(order),
        lambda numbers: [config for config in configs if config.seed in numbers],
        lambda config: ended.get(config.run_id),
        lambda runs: _compare(runs, order, reference),
    )
    return frozenset(config.run_id for config in wanted)


def _compare(runs: Sequence[Run], order: SweepOrder, reference: str, search: Sequence[Run] = ()) -> Comparison:
    there = any(run.config.arm.label == reference for run in runs)
    design = _seeds(order).design
    return Comparison(runs, search, reference if there else None, margin=order.margin, design=design)


def _seeds(order: SweepOrder) -> SeedRequest:
    return SeedRequest(order.seeds, order.max_seeds, None)

"""Which runs of a sweep are stopped early."""

import math
from collections.abc import Sequence

import optuna

from neatlab.config import RunConfig
from neatlab.events import Evaluated


class Halving:
    """Asynchronous successive halving (Li et al., arXiv:1810.05934) by Optuna's pruner.

    A run goes past a rung only if it is among the best quarter of those that have reached it.
    """

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        first, steps = configs[0], configs[0].training.steps
        self._by_metric = first.spec.row.selects_by == "metric"
        upward = self._by_metric and first.spec.metric.higher_is_better
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        every = min(configs[0].training.eval_every, steps)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=every, reduction_factor=4)
        self._study = optuna.create_study(direction="maximize" if upward else "minimize", pruner=pruner)
        self._trials: dict[str, optuna.Trial] = {}

    def __call__(self, config: RunConfig, event: Evaluated) -> bool:
        """Whether the run goes on after this evaluation."""
        if config.run_id not in self._trials:
            self._trials[config.run_id] = self._study.ask()
        trial, value = self._trials[config.run_id], event.metric if self._by_metric else event.loss
        last = event.step >= config.training.steps
        if not math.isfinite(value):
            return self._end(trial, optuna.trial.TrialState.FAIL)
        trial.report(value, event.step)
        if not last and trial.should_prune():
            return self._end(trial, optuna.trial.TrialState.PRUNED)
        return not last or not self._end(trial, optuna.trial.TrialState.COMPLETE, value)

    def _end(self, trial: optuna.Trial, state: optuna.trial.TrialState, value: float | None = None) -> bool:
        self._study.tell(trial, value, state=state, skip_if_finished=True)
        return False

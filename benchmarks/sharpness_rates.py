"""Does the loss's curvature at the start tell which learning rate an arm wants?

    python benchmarks/sharpness_rates.py [--task digits ...] [--workers 2] [--runs DIR] [--json FILE]

For each task and arm the rate that `--lr auto` chooses from its grid on validation data, beside what four rules
suggest. Each rule is a measurement times a constant, which is fitted on the other tasks: the geometric mean of best
rate over measurement (the teachers count as one task). Two rules that measure nothing are held against them: the
task's own default rate times a constant, and one rate for all. Started again it trains what is missing.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from neatlab.adapters.methods import METHODS
from neatlab.analysis.sharpness import Curvature
from neatlab.config import RunConfig, make_run, parse_arm
from neatlab.experiments.cluster import cluster, run_all
from neatlab.experiments.execute import build, make_task, one_thread
from neatlab.experiments.plan import RATE_GRID, TUNING_SEED
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.tasks import TASKS, TaskSpec
from neatlab.training.curvature import curvature

QUESTIONS = [
    *["digits", "teacher:kind=low-rank", "teacher:kind=weight-aware", "teacher:kind=full-rank"],
    *["arithmetic", "facts"],
]
ARMS = ["lora:rank=4", "neat:rank=4", "neat:rank=4,depth=4", "neat:rank=4,init_weights=calibrated"]
RULES: dict[str, Callable[[Curvature], float]] = {
    "1/λ": lambda start: 1 / start.sharpness(),
    "1/√λ": lambda start: start.sharpness() ** -0.5,
    "1/λ of D^-½HD^-½": lambda start: 1 / start.preconditioned(),
    "greedy": lambda start: start.greedy_rate(),
}
DEFAULT, ALL_ALIKE = "the default", "one for all"
RULES_BELOW = (DEFAULT, ALL_ALIKE)  # that measure nothing


@dataclass(frozen=True)
class Row:
    """One arm on one task.

    Args:
        task: The task.
        arm: The arm.
        rates: The grid.
        costs: What the search minimises, at each rate.
        sharpness: The Hessian's largest eigenvalue at the start.
        measured: Rule → what it measured, before its constant.
    """

    task: str
    arm: str
    rates: list[float]
    costs: list[float]
    sharpness: float
    measured: dict[str, float]

    @property
    def best(self) -> int:
        """Where in the grid the best rate is; the first of equals, as in the search."""
        return min(range(len(self.rates)), key=lambda i: self.costs[i])

    def nearest(self, rate: float) -> int:
        """Where in the grid the rate nearest to `rate` is; the ends beyond them."""
        return min(range(len(self.rates)), key=lambda i: abs(math.log(self.rates[i] / rate)))

    def nearest_two(self, rate: float) -> list[int]:
        """Where in the grid the two rates nearest to `rate` are, half the runs of the search; none without a rate."""
        if not math.isfinite(rate):
            return []
        return sorted(range(len(self.rates)), key=lambda i: abs(math.log(self.rates[i] / rate)))[:2]


def grid(task: str, arm: str) -> list[RunConfig]:
    """The runs by which `--lr auto` chooses the arm's rate."""
    spec, parsed = TaskSpec.parse(task), parse_arm(arm)
    base = spec.row.training["lr"] * METHODS[parsed.method].lr_factor
    tried = [parsed.model_copy(update={"lr": float(f"{base * share:.3g}")}) for share in RATE_GRID]
    return [make_run(spec.name, one, TUNING_SEED, spec.options, {}, "tune") for one in tried]


def cost(run: Run) -> float:
    """What the search minimises; infinite for a run that diverged."""
    by = run.config.spec.row.selects_by
    value = run.summary.get(f"validation_{by}")
    if run.status != "finished" or value is None:
        return math.inf
    return -value if by == "metric" and run.config.spec.metric.higher_is_better else value


def row(task: str, arm: str, store: Store) -> Row:
    """The arm's search, and what the rules measure at its start."""
    configs = grid(task, arm)
    runs = [store.finished(config) for config in configs]
    loaded = make_task(configs[0])
    start = curvature(build(configs[0], loaded), loaded, configs[0].training, TUNING_SEED)
    measured = {DEFAULT: TASKS[configs[0].task].training["lr"], ALL_ALIKE: 1.0}
    measured |= {name: rule(start) for name, rule in RULES.items()}
    costs = [cost(run) if run else math.inf for run in runs]
    return Row(task, arm, [config.training.lr for config in configs], costs, start.sharpness(), measured)


def constants(rows: Sequence[Row], rule: str) -> dict[str, float]:
    """Task left out → the constant that the others give; teachers are one task."""
    families = dict.fromkeys(row.task.partition(":")[0] for row in rows)
    return {family: constant([r for r in rows if r.task.partition(":")[0] != family], rule) for family in families}


def constant(rows: Sequence[Row], rule: str) -> float:
    """Geometric mean of best rate over measurement, over the arms for which there is one."""
    logs = [math.log(r.rates[r.best] / r.measured[rule]) for r in rows if math.isfinite(r.measured[rule])]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def suggestions(rows: Sequence[Row], rule: str) -> list[float]:
    """The rate that the rule suggests for each row, its constant from the other tasks."""
    left_out = constants(rows, rule)
    return [left_out[r.task.partition(":")[0]] * r.measured[rule] for r in rows]


def steps(rows: Sequence[Row], rates: Sequence[float]) -> list[float]:
    """How many steps of the grid each rate's nearest lies above the best; NaN where there is no rate."""
    pairs = zip(rows, rates, strict=True)
    return [r.nearest(rate) - r.best if math.isfinite(rate) else math.nan for r, rate in pairs]


def print_arms(rows: Sequence[Row]) -> None:
    """A line an arm: its best rate, and by how many steps each rule misses it."""
    rules = [*RULES_BELOW, *RULES]
    missed = {rule: steps(rows, suggestions(rows, rule)) for rule in rules}
    print(f"| task | arm | λ | best rate | {' | '.join(rules)} |")
    print("|---" * (4 + len(rules)) + "|")
    for i, r in enumerate(rows):
        cells = [f"{suggestions(rows, rule)[i]:.3g} ({missed[rule][i]:+.0f})" for rule in rules]
        print(f"| {r.task} | {r.arm} | {r.sharpness:.3g} | {r.rates[r.best]:.3g} | {' | '.join(cells)} |")


def print_rules(rows: Sequence[Row]) -> None:
    """A line a rule: how often it hits, how steady its constant is; an arm without a suggestion counts as missed."""
    print("\n| rule | constant | over the tasks left out | the best itself | among the two nearest | within one step |")
    print("|---" * 6 + "|")
    for rule in (*RULES_BELOW, *RULES):
        rates = suggestions(rows, rule)
        missed = [abs(step) for step in steps(rows, rates)]
        half = sum(r.best in r.nearest_two(rate) for r, rate in zip(rows, rates, strict=True)) / len(rows)
        hit, near = (sum(step <= limit for step in missed) / len(missed) for limit in (0, 1))
        fitted = constants(rows, rule).values()
        print(
            f"| {rule} | {constant(rows, rule):.3g} | {min(fitted):.3g} to {max(fitted):.3g} "
            f"| {hit:.0%} | {half:.0%} | {near:.0%} |"
        )


def main() -> None:
    """Train what is missing, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", dest="tasks", metavar="TASK", help="one of them (default: all)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--json", help="a file for the rows")
    options = parser.parse_args()
    store, tasks = Store(options.runs), options.tasks or QUESTIONS
    configs = [config for task in tasks for arm in ARMS for config in grid(task, arm)]
    missing = [config for config in configs if store.finished(config) is None]
    if missing:
        with cluster(options.workers) as client:
            run_all(missing, store, lambda: client)
    with one_thread():
        rows = [row(task, arm, store) for task in tasks for arm in ARMS]
    print_arms(rows)
    print_rules(rows)
    if options.json:
        with open(options.json, "w") as file:
            json.dump([asdict(r) for r in rows], file, indent=1)


if __name__ == "__main__":
    main()

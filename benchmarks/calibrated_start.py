"""Does `init_weights="calibrated"` make NEAT less sensitive to the learning rate? Every task at three rates.

    python benchmarks/calibrated_start.py [--task digits ...] [--seeds 3] [--rank 4] [--workers 2] [--runs DIR]

LoRA, NEAT as the paper starts it and NEAT calibrated, at a third, once and three times the default rate of the task:
the mean score of each, and how far the three rates lie apart. Started again it trains what
is missing.
"""

import argparse
import itertools

import neatlab
from neatlab import TASKS

QUESTIONS = [
    *["digits", "teacher:kind=low-rank", "teacher:kind=weight-aware", "teacher:kind=full-rank"],
    *["arithmetic", "facts", "text"],
]
FACTORS = {"÷ 3": 1 / 3, "× 1": 1.0, "× 3": 3.0}


def arms(rank: int) -> dict[str, str]:
    """Name in the table → arm."""
    return {
        "LoRA": f"lora:rank={rank}",
        "NEAT": f"neat:rank={rank}",
        "calibrated": f"neat:rank={rank},init_weights=calibrated",
    }


def scores(task: str, options: argparse.Namespace) -> dict[tuple[str, str], float]:
    """(name of the arm, name of the rate) → mean of the task's metric over the seeds."""
    default = TASKS[task.partition(":")[0]].training["lr"]
    rates = {name: round(default * factor, 6) for name, factor in FACTORS.items()}
    named = arms(options.rank)
    shared = {"seeds": options.seeds, "runs": options.runs, "workers": options.workers}
    comparison = neatlab.sweep(task, [*named.values()], {"lr": [*rates.values()]}, **shared)
    means = [result.mean for result in comparison.arms()]  # arms outermost, as they were given
    return dict(zip(itertools.product(named, rates), means, strict=True))


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", dest="tasks", metavar="TASK", help="one of them (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", default="runs")
    options = parser.parse_args()
    columns = [f"{name} {rate}" for name in arms(4) for rate in FACTORS]
    print(f"| task | {' | '.join(columns)} | {' | '.join(f'spread {name}' for name in arms(4))} |")
    print("|---" * (1 + len(columns) + len(arms(4))) + "|")
    for task in options.tasks or QUESTIONS:
        mean = scores(task, options)
        cells = [f"{value:.3f}" for value in mean.values()]
        spreads = [[mean[name, rate] for rate in FACTORS] for name in arms(options.rank)]
        cells += [f"{max(values) - min(values):.3f}" for values in spreads]
        print(f"| {task} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

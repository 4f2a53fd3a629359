"""How often a verdict is wrong: "better" where nothing differs, "as good" where the difference is the margin.

    python benchmarks/verdict_error_rates.py [--runs DIR] [--repetitions 4000] [--seeds 3 5 10 20 auto] [--json]
    python benchmarks/verdict_error_rates.py --grid [--repetitions 200]
    python benchmarks/verdict_error_rates.py --null 100 --runs DIR

Seeds and test examples are simulated at spreads and test sizes of the real runs in a folder (pairs of arms whose
runs have kept their outcome per example); without any, at those of digits. Each cell counts comparisons in which at
least one claim is false, out of the repetitions; then the mean number of seeds, and how often they give the verdict of
twenty. `--grid` has as many seeds as it takes over true differences of 0 to 4 and margins of 0.2 to 4 spreads from seed
to seed. `--null` trains: two names of one NEAT on `teacher`, on seeds of their own.
"""

import argparse
import itertools
import json
import math
import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import neatlab
from neatlab.analysis.crossed import crossed_interval
from neatlab.analysis.looks import LOOKS, Design, chance
from neatlab.analysis.statistics import mean_interval
from neatlab.analysis.verdicts import Pair, judge
from neatlab.experiments.sequential import HOPELESS
from neatlab.runs.comparison import Comparison

DESIGN = Design(LOOKS)
MOST = LOOKS[-1]
DIGITS = (540, 0.006, 0.08, 0.38)  # test examples and spreads of LoRA and NEAT of rank 4


class Spreads(NamedTuple):
    """How differences between two arms vary.

    Args:
        examples: Test examples.
        seed: Standard deviation from seed to seed, all examples together.
        example: From example to example, all seeds together.
        rest: Of one seed on one example beyond both.
    """

    examples: int
    seed: float
    example: float
    rest: float

    def draw(self, rng: np.random.Generator, mean: float, noisy: bool) -> NDArray[np.float64]:
        """Differences of 20 seeds by examples; where examples stay the same one column, the means of the seeds."""
        if not noisy:
            return rng.normal(mean, math.hypot(self.seed, self.rest / math.sqrt(self.examples)), (MOST, 1))
        seeds = rng.normal(mean, self.seed, (MOST, 1))
        examples = rng.normal(0, self.example, (1, self.examples))
        return seeds + examples + rng.normal(0, self.rest, (MOST, self.examples))


def interval(differences: NDArray[np.float64], seeds: int, noisy: bool):
    """Of the first seeds."""
    return crossed_interval(differences[:seeds]) if noisy else mean_interval(differences[:seeds, 0])


def verdicts(drawn: list[NDArray[np.float64]], margin: float, seeds: str, noisy: bool) -> tuple[list[str], int]:
    """What is said of each pair, and after how many seeds."""
    if seeds != "auto":
        pairs = [Pair(str(i), "b", interval(one, int(seeds), noisy)) for i, one in enumerate(drawn)]
        return [one.kind for one in judge(pairs, margin, True)], int(seeds)
    level = DESIGN.one_sided(0.05 / len(drawn), MOST)
    for look in LOOKS:
        pairs = [Pair(str(i), "b", interval(one, look, noisy)) for i, one in enumerate(drawn)]
        found = judge(pairs, margin, True, DESIGN)
        still = [one for one in found if one.kind == "undecided"]
        if all(chance(one.interval, margin, MOST, level) < HOPELESS for one in still):
            break
    return [one.kind for one in found], look


class Cell(NamedTuple):
    """One cell of the table; shares with their standard error in `error`.

    Args:
        arms: Arms compared; pairs are each with the first.
        noisy: Whether test examples are drawn too.
        seeds: A number, or "auto".
        better: Share of repetitions that call an arm better where none differs.
        as_good: Share that call one as good whose true difference is the margin.
        error: Standard error of a share of 0.05.
        used: Mean number of seeds, over true differences of 0, 1, 2 and 4 margins.
        same: Share of verdicts that are those of twenty seeds, over the same.
    """

    arms: int
    noisy: bool
    seeds: str
    better: float
    as_good: float
    error: float
    used: float
    same: float


def cell(spreads: Spreads, arms: int, noisy: bool, seeds: str, margin: float, repetitions: int) -> Cell:
    """Simulate one cell."""
    rng = np.random.default_rng(arms * 100 + noisy)
    better = as_good = used = same = 0
    for repetition in range(repetitions):
        null = [spreads.draw(rng, 0.0, noisy) for _ in range(arms - 1)]
        said, count = verdicts(null, margin, seeds, noisy)
        better += "better" in said
        edge = [spreads.draw(rng, margin, noisy) for _ in range(arms - 1)]
        as_good += "as-good" in verdicts(edge, margin, seeds, noisy)[0]
        mixed = null if repetition % 4 == 0 else [d + margin * 2 ** (repetition % 4 - 1) for d in null]
        whole = verdicts(mixed, margin, str(MOST), noisy)[0]
        found, count = verdicts(mixed, margin, seeds, noisy)
        used += count
        same += sum(one == other for one, other in zip(found, whole, strict=True)) / len(whole)
    shares = (better / repetitions, as_good / repetitions)
    return Cell(
        arms, noisy, seeds, *shares, math.sqrt(0.05 * 0.95 / repetitions), used / repetitions, same / repetitions
    )


def over_grid(repetitions: int) -> str:
    """How often as many seeds as it takes give the verdict of twenty, and how many they are."""
    rng, rows = np.random.default_rng(0), []
    for mean, margin in itertools.product((0, 0.2, 0.5, 1, 2, 4), (0.2, 0.5, 1, 2, 4)):
        drawn = [[rng.normal(mean, 1, (MOST, 1))] for _ in range(repetitions)]
        said = [(*verdicts(one, margin, "auto", False), verdicts(one, margin, str(MOST), False)[0]) for one in drawn]
        rows.append((np.mean([a == b for a, _, b in said]), np.mean([count for _, count, _ in said])))
    same, used = np.mean(rows, axis=0)
    return f"{len(rows)} cells of {repetitions}: the verdict of {MOST} seeds in {same:.3f}, with {used:.1f} seeds"


def spreads_of(runs: str | None) -> tuple[Spreads, float]:
    """Medians over the pairs of arms in a runs folder, and the margin of their metric."""
    rows = [] if runs is None else list(_measured(neatlab.load_runs(runs).runs))
    if not rows:
        return Spreads(*DIGITS), 0.01
    medians = np.median([row for row, _ in rows], axis=0)
    return Spreads(int(medians[0]), *(float(one) for one in medians[1:])), rows[0][1]


def _measured(runs):
    tasks = {(run.config.task, str(run.config.task_options)) for run in runs}
    for task in tasks:
        comparison = Comparison([r for r in runs if (r.config.task, str(r.config.task_options)) == task])
        for one in itertools.combinations(comparison.contributions().values(), 2):
            yield from _components(*one, comparison.metric.margin)


def _components(a, b, margin):
    shared = sorted(a.keys() & b.keys())
    if len(shared) < 3:
        return
    d = np.stack([a[seed] - b[seed] for seed in shared])
    n, m = d.shape
    rest = d - d.mean(axis=0) - d.mean(axis=1, keepdims=True) + d.mean()
    of_rest = (rest**2).sum() / ((n - 1) * (m - 1))
    seed = max(d.mean(axis=1).var(ddof=1) - of_rest / m, 0.0)
    example = max(d.mean(axis=0).var(ddof=1) - of_rest / n, 0.0)
    yield (m, seed**0.5, example**0.5, of_rest**0.5), margin


def null_experiment(count: int, runs: str) -> str:
    """Comparisons of a NEAT with itself, trained on other seeds: arms that differ in nothing that matters."""
    said = []
    for index in tqdm(range(count), file=sys.stderr):
        seeds = range(10 * index, 10 * index + 10)
        done = neatlab.compare("teacher:samples=400", ["neat:rank=4"], seeds=seeds, steps=100, runs=runs).runs
        scores = [run.summary["metric"] for run in done]
        differences = [a - b for a, b in zip(scores[:5], scores[5:], strict=True)]
        said.append(judge([Pair("a", "b", mean_interval(differences))], 0.02, False)[0].kind)
    kinds = ", ".join(f"{kind} {said.count(kind)}" for kind in sorted(set(said)))
    return f"{count} comparisons of a NEAT with itself on 5 seeds each: {kinds}"


def table(cells: list[Cell]) -> str:
    """The cells in Markdown."""
    lines = ["| arms | examples drawn | seeds | false better | false as good | seeds used | as 20 seeds say |"]
    lines += ["|---" * 7 + "|"]
    for c in cells:
        noise = "yes" if c.noisy else "no"
        shares = f"{c.better:.3f} | {c.as_good:.3f}"
        lines.append(f"| {c.arms} | {noise} | {c.seeds} | {shares} | {c.used:.1f} | {c.same:.3f} |")
    return "\n".join([*lines, f"Standard error of 0.05: {cells[0].error:.4f}"])


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs")
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--seeds", nargs="+", default=["3", "5", "10", "20", "auto"])
    parser.add_argument("--null", type=int, metavar="N", help="train N comparisons of an arm with itself instead")
    parser.add_argument("--grid", action="store_true", help="true differences and margins over a wide range instead")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.grid:
        print(over_grid(options.repetitions))
        return
    if options.null:
        print(null_experiment(options.null, options.runs or "runs"))
        return
    spreads, margin = spreads_of(options.runs)
    print(f"{spreads}, margin {margin:g}", file=sys.stderr)
    settings = [*itertools.product((2, 6), (False, True), options.seeds)]
    cells = [cell(spreads, a, n, s, margin, options.repetitions) for a, n, s in tqdm(settings, file=sys.stderr)]
    print(json.dumps([one._asdict() for one in cells]) if options.json else table(cells))


if __name__ == "__main__":
    main()

"""The words and tables of a report."""

import math
from collections.abc import Sequence
from typing import Any

from neatlab.report.words import DASH, breakable, bytes_number, duration, escape, key, number, p_number, row, table
from neatlab.runs.comparison import BASE, Comparison, kept, total_seconds
from neatlab.runs.run import Run
from neatlab.tasks import TASKS

HOW_TO_READ = (
    "Scores are from the test split, which each run sees once, at its end. Intervals are 95 % t-intervals over seeds. "
    "Differences are paired by seed: same start, same data order. p-values are of paired t-tests; the corrected ones "
    "hold for all comparisons together (Holm). An arm is called better only where the corrected p is at most 0.05 and "
    "the interval excludes zero. Detectable: the true difference that these seeds find four times in five, at the "
    "spread seen here."
)
ARMS = ("arm", "", "± (95 %)", "adapter params", "s/step", "kept for backward", "effective rank", "seeds", "Pareto")
FEW = 3  # comparisons that need no summary
COST_NAMES = {"adapter_params": "params", "seconds_per_step": "time", "saved_bytes": "memory"}


def title(comparison: Comparison) -> str:
    """What is compared, in a line."""
    parts = comparison.parts()
    arms = [arm["arm"] for arm in next(iter(parts.values())).arms()]
    names = " and ".join(arms) if len(arms) < 3 else f"{len(arms)} arms"
    settings = f" in {len(parts)} settings" if len(parts) > 1 else ""
    return f"{names} on {comparison.runs[0].config.task}{settings}"


def ordered(comparison: Comparison) -> list[str]:
    """The arms of one setting: the reference, then the others by their means, those without one last."""
    sign = -1 if comparison.metric.higher_is_better else 1
    means = {arm["arm"]: arm["mean"] for arm in comparison.arms()}
    cost = {arm: sign * mean if math.isfinite(mean) else math.inf for arm, mean in means.items()}
    reference = comparison.references[0]
    return [reference, *sorted((arm for arm in cost if arm != reference), key=lambda arm: cost[arm])]


def question(comparison: Comparison) -> str:
    """What the runs were to find out."""
    metric, config = comparison.metric, comparison.runs[0].config
    best = "highest" if metric.higher_is_better else "lowest"
    parts = comparison.parts()
    arms = len(next(iter(parts.values())).arms())
    where = f", in each of {', '.join(parts)}" if len(parts) > 1 else ""
    asked = (
        f"Task {config.task} ({TASKS[config.task].title}), {config.training.steps:,} steps{where}: "
        f"which of {arms} arms reaches the {best} {metric.name} ({metric.unit}), and is that more than chance?"
    )
    return f"<p>{escape(asked)}</p>"


def verdict(comparison: Comparison) -> str:
    """One plain sentence a comparison."""
    said = comparison.verdict() or ["One arm with all its runs: there is nothing to compare it with."]
    items = "".join(f"<li>{breakable(text)}</li>" for text in said)
    words = f"<ul class='verdict'>{items}</ul><p class='quiet'>{escape(HOW_TO_READ)}</p>"
    return f"<h2>Verdict</h2>{_summary(comparison)}{words}"


def _summary(comparison: Comparison) -> str:
    """How many of many comparisons show something."""
    found = comparison.differences()
    if len(found) <= FEW:
        return ""
    higher = comparison.metric.higher_is_better
    better = sum(one["shown"] and (one["mean"] > 0) == higher for one in found)
    worse = sum(one["shown"] for one in found) - better
    rest = len(found) - better - worse
    said = f"Of {len(found)} comparisons a − b, a is better in {better}, worse in {worse}; {rest} show no difference."
    return f"<p><strong>{escape(said)}</strong></p>"


def setup(comparison: Comparison) -> str:
    """Task, training, seeds and what it cost."""
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in _setup(comparison).items())
    return f"<h2>Set-up</h2><dl class='setup'>{entries}</dl>"


def _setup(comparison: Comparison) -> dict[str, str]:
    first, shared = comparison.runs[0].config, _shared([run.config.training.model_dump() for run in comparison.runs])
    options = _shared([run.config.task_options for run in comparison.runs])
    seeds = sorted({run.config.seed for run in comparison.runs})
    found = {
        "task": f"{first.task}: {TASKS[first.task].title}",
        "task options": _listed(options),
        "training": _listed(shared),
        "reference": "; ".join(comparison.references),
        "seeds": ", ".join(map(str, seeds)),
        "runs": f"{len(comparison.runs)}, {duration(total_seconds(comparison.runs))} of training together",
        "search": _search(comparison),
    }
    return {name: text for name, text in found.items() if text}


def _search(comparison: Comparison) -> str:
    count, seconds = len(comparison.search), total_seconds(comparison.search)
    if not count:
        return "none: learning rates as given or the task's default"
    what = "learning rate and scaling chosen for each arm on validation data, from the same grid"
    return f"{count} further runs, {duration(seconds)} of training: {what}"


def tables(comparison: Comparison, order: Sequence[str]) -> str:
    """What each arm cost and reached."""
    arms, fronts = {arm["arm"]: arm for arm in comparison.arms()}, comparison.pareto()
    rows = (_arm_row(place, arms[label], fronts, comparison) for place, label in enumerate(order))
    base = comparison.base_metric
    head = [name or comparison.metric.name for name in ARMS] + ([BASE] if base else [])
    note = "Pareto: no other arm is as cheap and as good in the mean; cost in parameters, time a step or memory."
    note += f" Base task: {base.name}, mean over seeds." if base else ""
    return f"{table(head, rows, 'Arms')}<p class='quiet'>{escape(note)}</p>"


def _arm_row(place: int, arm: dict[str, Any], fronts: dict[str, list[str]], comparison: Comparison) -> str:
    label, finished = arm["arm"], sum(run["status"] == "finished" for run in arm["runs"])
    on = [COST_NAMES[cost] for cost, front in fronts.items() if label in front]
    cells = [
        number(arm["mean"]),
        number((arm["ci95"][1] - arm["ci95"][0]) / 2),
        number(arm["adapter_params"], 0),
        number(arm["seconds_per_step"]),
        bytes_number(arm["saved_bytes"]),
        number(arm["effective_rank"], 2),
        f"{finished} of {len(arm['runs'])}",
        ", ".join(on) or DASH,
        *([kept(arm) or DASH] if comparison.base_metric else []),
    ]
    return row(key(place) + breakable(label), cells, "reference" if label in comparison.references else "")


def differences(comparison: Comparison) -> str:
    """Every comparison in figures."""
    found = comparison.differences()
    if not found:
        return ""
    head = ("a", "b", "a − b", "95 % interval", "p", "p corrected", "detectable", "shown")
    rows = [
        row(
            breakable(one["a"]),
            [
                one["b"],
                f"{one['mean']:+.4f}" if math.isfinite(one["mean"]) else DASH,
                _interval(*one["ci95"]),
                p_number(one["p"]),
                p_number(one["p_holm"]),
                number(one["detectable"]),
                "yes" if one["shown"] else "no",
            ],
        )
        for one in found
    ]
    return f"<h2>Differences by seed</h2>{table(head, rows, 'Differences by seed')}"


def _interval(low: float, high: float) -> str:
    return f"{low:+.4f} to {high:+.4f}" if math.isfinite(low) else DASH


def runs(comparison: Comparison) -> str:
    """Every run, to be found in the runs folder by its id."""
    rows = [
        row(
            f"<code>{escape(run.run_id)}</code>",
            [comparison.label(run), str(run.config.seed), f"{run.config.training.lr:g}", run.status, _score(run)],
        )
        for run in comparison.runs
    ]
    head = ("run", "arm", "seed", "learning rate", "status", comparison.metric.name)
    return f"<h2>Runs</h2><details><summary>{len(rows)} runs</summary>{table(head, rows, 'Runs')}</details>"


def _score(run: Run) -> str:
    return number(run.summary.get("metric"))


def repeat(comparison: Comparison, command: str) -> str:
    """Versions, machine and command."""
    entries = "".join(f"<dt>{escape(n)}</dt><dd>{escape(t)}</dd>" for n, t in _environment(comparison.runs).items())
    text = f"<pre>{escape(command)}</pre><dl class='setup'>{entries}</dl>"
    return f"<h2>Repeat it</h2>{text}"


def _environment(found: Sequence[Run]) -> dict[str, str]:
    """Each version once, or every version where the runs differ in it."""
    values: dict[str, dict[str, None]] = {}
    for run in found:
        packages = run.environment.get("packages") or {}
        others = {name: run.environment.get(name) for name in ("python", "platform", "device", "threads")}
        for name, value in {**packages, **others}.items():
            if value is not None:
                values.setdefault(name, {})[str(value)] = None
    return {name: "; ".join(seen) for name, seen in values.items()}


def _shared(dicts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is the same in all."""
    first = dicts[0]
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in dicts)}


def _listed(values: dict[str, Any]) -> str:
    texts = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in texts.items())

"""The words and tables of a report, as text.html lays them out."""

import math
import shlex
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from neatlab.plots.looks import Look, looks
from neatlab.report.markup import breakable, key, row, table
from neatlab.runs.arms import ArmDifference, ArmResult, Ends, total_seconds
from neatlab.runs.comparison import BASE, Comparison
from neatlab.runs.labels import is_setting
from neatlab.runs.run import Run
from neatlab.runtime.numbers import DASH, bytes_number, duration, number, p_number, signed, signed_interval
from neatlab.runtime.templates import macros

HOW_TO_READ = (
    "Scores are from the test split, which each run sees once, at its end. Better: the corrected p is at most 0.05 and "
    "the interval excludes zero. As good: two one-sided tests at 5 % show that the difference lies within the margin. "
    "Not worse: one of them does, for the arm with fewer parameters. Undecided: none of these. Detectable: the true "
    "difference that these seeds find four times in five, at the spread seen here."
)
DIFFERENCES = (
    *("95 %, new examples and seeds", "95 %, new seeds", "p corrected", "p as good, corrected"),
    *("detectable", "verdict", "more seeds"),
)
ARMS = (
    *("arm", "", "± (95 %)", "adapter params", "s/step", "kept for backward", "effective rank", "seeds", "Pareto"),
    "served as LoRA",
)
MAX_REPLAYED = 6  # arms in a replay
COST_NAMES = {"adapter_params": "params", "seconds_per_step": "time", "saved_bytes": "memory"}


def title(comparison: Comparison) -> str:
    """What is compared, in a line."""
    parts = comparison.parts()
    arms = [arm.arm for arm in next(iter(parts.values())).arms()]
    names = " and ".join(arms) if len(arms) < 3 else f"{len(arms)} arms"
    settings = f" in {len(parts)} settings" if len(parts) > 1 else ""
    return f"{names} on {comparison.runs[0].config.task}{settings}"


def ordered(comparison: Comparison) -> list[str]:
    """The arms of one setting: the reference, then the others by their means, those without one last."""
    sign = -1 if comparison.metric.higher_is_better else 1
    means = {arm.arm: arm.mean for arm in comparison.arms()}
    cost = {arm: sign * mean if math.isfinite(mean) else math.inf for arm, mean in means.items()}
    reference = comparison.references[0]
    return [reference, *sorted((arm for arm in cost if arm != reference), key=lambda arm: cost[arm])]


def question(comparison: Comparison) -> Markup:
    """What the runs were to find out."""
    metric, config = comparison.metric, comparison.runs[0].config
    best = "highest" if metric.higher_is_better else "lowest"
    parts = comparison.parts()
    arms = len(next(iter(parts.values())).arms())
    where = f", in each of {', '.join(parts)}" if len(parts) > 1 else ""
    asked = (
        f"Task {config.task} ({config.spec.row.title}), {config.training.steps:,} steps{where}: "
        f"which of {arms} arms reaches the {best} {metric.name} ({metric.unit}), and is that more than chance?"
    )
    return macros(__file__).paragraph(asked)


def verdict(comparison: Comparison) -> Markup:
    """Which arm to take, and one plain sentence a comparison."""
    sentences = comparison.verdict() or ["One arm with all its runs: there is nothing to compare it with."]
    decisions, note = comparison.decision().splitlines(), f"{comparison.assumptions()} {HOW_TO_READ}"
    return macros(__file__).verdict(decisions, comparison.headline(), sentences, note)


def setup(comparison: Comparison) -> Markup:
    """Task, training, seeds and what it cost."""
    return macros(__file__).setup(_setup(comparison))


def _setup(comparison: Comparison) -> dict[str, str]:
    first, shared = comparison.runs[0].config, _shared([run.config.training.model_dump() for run in comparison.runs])
    options = _shared([run.config.task_options for run in comparison.runs])
    seeds = sorted({run.config.seed for run in comparison.runs})
    entries = {
        "task": f"{first.task}: {first.spec.row.title}",
        "task options": _listed(options),
        "training": _listed(shared),
        "reference": "; ".join(comparison.references),
        "seeds": ", ".join(map(str, seeds)),
        "runs": f"{len(comparison.runs)}, {duration(total_seconds(comparison.runs))} of training together",
        "search": _search(comparison),
    }
    return {name: text for name, text in entries.items() if text}


def _search(comparison: Comparison) -> str:
    count, seconds = len(comparison.search), total_seconds(comparison.search)
    if not count:
        return "none: learning rates as given or the task's default"
    what = "learning rate and scaling chosen for each arm on validation data, from the same grid"
    return f"{count} further runs, {duration(seconds)} of training: {what}"


def arms(comparison: Comparison, order: Sequence[str], where: str) -> Markup:
    """The arms of one setting, under a heading that says `where`."""
    return macros(__file__).arms(where, tables(comparison, order))


def tables(comparison: Comparison, order: Sequence[str]) -> Markup:
    """What each arm cost and reached."""
    arms, fronts, shown = {arm.arm: arm for arm in comparison.arms()}, comparison.pareto(), looks(order)
    rows = (_arm_row(shown[label], arms[label], fronts, comparison) for label in order)
    base = comparison.base_metric
    head = [name or comparison.metric.name for name in ARMS] + ([BASE, "± (95 %)"] if base else [])
    note = "Pareto, from several seeds: no other arm is as cheap and as good in the mean (parameters, time, memory)."
    note += f" Base task: {base.name}, mean over seeds." if base else ""
    return macros(__file__).tables(table(head, rows, "Arms"), note)


def _arm_row(look: Look, arm: ArmResult, fronts: dict[str, list[str]], comparison: Comparison) -> Markup:
    label = arm.arm
    on = [COST_NAMES[cost] for cost, front in fronts.items() if label in front] if arm.finished > 1 else []
    cells = [
        number(arm.mean),
        _half(arm.ci95),
        number(arm.adapter_params, 0),
        number(arm.seconds_per_step),
        bytes_number(arm.saved_bytes),
        number(arm.effective_rank, 2),
        f"{arm.finished} of {len(arm.runs)}",
        ", ".join(on) or DASH,
        arm.served_as_lora,
        *([arm.base_change or DASH, _half(arm.base_ci95)] if comparison.base_metric else []),
    ]
    return row(key(look) + breakable(label), cells, "reference" if label in comparison.references else "")


def _half(ends: Ends) -> str:
    return number((ends[1] - ends[0]) / 2)


def differences(comparison: Comparison) -> Markup:
    """Every comparison in figures: the scores, and what is left of the base's own task with what that shows."""
    score, base = comparison.differences(), comparison.base_differences()
    parts = [_differences("Differences by seed", score, [])]
    parts += [_differences("What is left of the base's own task", base, [one.sentence for one in base])]
    return Markup().join(parts)


def _differences(heading: str, pairs: Sequence[ArmDifference], sentences: Sequence[str]) -> Markup:
    if not pairs:
        return Markup()
    head = ("a", "b", "a − b", *DIFFERENCES)
    rows = [
        row(
            breakable(pair.a),
            [
                pair.b,
                signed(pair.mean),
                signed_interval(*pair.ci95_examples),
                signed_interval(*pair.ci95_seeds),
                p_number(pair.p_holm),
                p_number(pair.p_equivalence_holm),
                number(pair.detectable),
                pair.verdict,
                DASH if pair.more_seeds is None else str(pair.more_seeds),
            ],
        )
        for pair in pairs
    ]
    return macros(__file__).differences(heading, sentences, table(head, rows, heading))


def runs(comparison: Comparison) -> Markup:
    """Every run, with the id that it has in the runs folder."""
    rows = [
        row(
            macros(__file__).run_id(run.run_id),
            [comparison.label(run), str(run.config.seed), f"{run.config.training.lr:g}", run.status, _score(run)],
        )
        for run in comparison.runs
    ]
    head = ("run", "arm", "seed", "learning rate", "status", comparison.metric.name)
    return macros(__file__).runs(table(head, rows, "Runs"), len(rows), _replay(comparison.runs))


def _replay(runs: Sequence[Run]) -> str:
    """The command that replays the arms on their first seed; of the first setting, where there are several."""
    first = runs[0].config
    chosen = [r for r in runs if r.config.seed == first.seed and is_setting(r.config, first)][:MAX_REPLAYED]
    ids = [run.run_id for run in chosen]
    return shlex.join(["neatlab", "replay", *ids, "--out", "replay.html"])


def _score(run: Run) -> str:
    return number(run.summary.get("metric"))


def repeat(comparison: Comparison, command: str) -> Markup:
    """Versions, machine and command."""
    return repeat_with(command, environment_of(comparison.runs))


def repeat_with(command: str, versions: dict[str, str]) -> Markup:
    """The command, and what it ran on."""
    return macros(__file__).repeat(command, versions)


def environment_of(runs: Sequence[Run]) -> dict[str, str]:
    """Each version once, or every version where the runs differ in it."""
    values: dict[str, dict[str, None]] = {}
    for run in runs:
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

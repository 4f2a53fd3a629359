"""The answer so far, beside the status: every arm's score, and what more than one seed says."""

from markupsafe import Markup

from neatlab.adapters.activations import COMPARED
from neatlab.config import Arm, RunConfig, make_arm
from neatlab.dashboard.shared.choices import offered_task, task_choices
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.links import write
from neatlab.dashboard.train.snapshot import RunsSnapshot, last_evaluation
from neatlab.dashboard.train.verdict import Verdict, offer, state
from neatlab.plots.looks import looks
from neatlab.report.markup import key
from neatlab.runtime.numbers import number, or_nan
from neatlab.runtime.templates import macros


def answer(runs: RunsSnapshot, at: int | None, verdict: Verdict | None, context: Context) -> str:
    """The scores on the validation split at a step, and what seeds say; empty before the first score.

    Args:
        runs: The window's runs.
        at: The step; None for the last.
        verdict: What the window has asked with seeds.
        context: Store and jobs.
    """
    shown = looks(runs.arms)
    scored = {run.config.arm.label: last_evaluation(run, "validation", at).get("metric") for run in runs.runs}
    if not any(score is not None for score in scored.values()):
        return ""
    scores = [(key(shown[arm], line=False), shown[arm].name, number(or_nan(scored.get(arm)), 4)) for arm in runs.arms]
    better = "higher" if runs.metric.higher_is_better else "lower"
    return macros(__file__).answer(runs.metric.name, better, scores, _said(runs, verdict, context))


def _said(runs: RunsSnapshot, verdict: Verdict | None, context: Context) -> Markup:
    if verdict is not None:
        return state(verdict, context, [*looks(runs.arms).values()], seeds_link([run.config for run in runs.runs]))
    is_done = len(runs.runs) == len(runs.arms) > 1 and all(run.summary for run in runs.runs)
    return offer(runs.runs) if is_done else Markup()


def seeds_link(configs: list[RunConfig]) -> str:
    """The Ablate tab filled in with the first arm that it can hold against LoRA; empty where it has no such arm."""
    for config in configs:
        base, task = _base(config), _task(config)
        if base is not None and task is not None:
            options = base.options
            grid = {"base": base.label, "depth": [options["depth"]], "activation": [options["activation"]]}
            asked = {"tab": "ablate", "ablate_task": task, **grid, "seeds": "auto"}
            return write({**asked, "ablate_steps": config.training.steps})
    return ""


def _task(config: RunConfig) -> str | None:
    """The run's task as the page offers it; None for one that it does not."""
    return next((text for text in task_choices().values() if offered_task(text).label == config.spec.label), None)


def _base(config: RunConfig) -> Arm | None:
    """The run's arm with its learning rate, where the Ablate tab would train it as it was trained here."""
    arm, training, own = config.arm, config.training, config.spec.row.training
    options = arm.options
    if training.batch_size != own["batch_size"]:
        return None
    if not {"rank", "depth", "activation"} <= options.keys() or options["activation"] not in COMPARED:
        return None
    return arm if training.lr == own["lr"] else make_arm(arm.method, {"lr": training.lr} | arm.given())

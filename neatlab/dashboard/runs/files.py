"""What the Runs tab gives away: a table, a notebook, a report."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from neatlab.config import RunConfig, make_run
from neatlab.dashboard.runs.notebook import notebook
from neatlab.dashboard.runs.view import Selection, arm_names
from neatlab.dashboard.shared.download_folder import DownloadFolder
from neatlab.errors import BadInput
from neatlab.runs.comparison import Comparison
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.tasks import TaskSpec


def write_csv(runs: Sequence[Run], store: Store, folder: DownloadFolder) -> Path:
    """The runs as a tidy table, one row a run."""
    path = folder.new_path("neatlab-runs.csv")
    Selection(runs).frame().to_csv(path, index=False)
    return path


def write_notebook(runs: Sequence[Run], store: Store, folder: DownloadFolder) -> Path:
    """The page's view of the runs as a notebook."""
    names = arm_names(runs)
    groups: dict[str, tuple[str, list[str]]] = {}
    for run in runs:
        groups.setdefault(run.config.spec.label, (run.config.spec.metric.name, []))[1].append(run.run_id)
    path = folder.new_path("neatlab-runs.ipynb")
    path.write_bytes(notebook(str(store.root), names, groups))
    return path


def write_comparison(runs: Sequence[Run], store: Store, folder: DownloadFolder) -> Path:
    """The runs' report as one HTML page.

    Raises:
        BadInput: Runs that no report can compare.
    """
    from neatlab.report import write_report

    check_comparable(runs)
    path = folder.new_path("neatlab-report.html")
    write_report(Comparison(runs), path, commands(runs))
    return path


def check_comparable(runs: Sequence[Run]) -> None:
    """Refuse runs that a report would mix up.

    Raises:
        BadInput: Several tasks, tuning runs, or two runs of one arm and seed.
    """
    tasks = sorted({run.config.task for run in runs})
    if len(tasks) > 1 or len({run.config.spec.metric for run in runs}) > 1:
        raise BadInput(f"a report compares arms on one task; selected: {', '.join(tasks)}")
    if tuned := [run.run_id for run in runs if run.config.purpose == "tune"]:
        raise BadInput(f"run {tuned[0]} chose a learning rate and has no test score; take it out for the report")
    labels = Comparison(runs).label
    counted = Counter((labels(run), run.config.seed) for run in runs)
    (label, seed), count = counted.most_common(1)[0]
    if count > 1:
        raise BadInput(f"{count} runs are {label} with seed {seed}; a report takes one run an arm and seed: choose one")


def commands(runs: Sequence[Run]) -> str:
    """The commands that repeat the runs; where there is none, those that show their settings."""
    groups: dict[tuple[str, int, str | None], list[Run]] = {}
    others = []
    for run in runs:
        task, rate = run.config.spec.label, f"{run.config.training.lr:.12g}"
        lr = next((lr for lr in (None, rate) if _same(run.config, task, lr)), "")
        if lr == "":
            others.append(f"python -m neatlab runs show {run.run_id}")
        else:
            groups.setdefault((task, run.config.training.steps, lr), []).append(run)
    repeated = [_command(*setting, members) for setting, members in groups.items()]
    return "\n".join([*repeated, *others])


def _command(task: str, steps: int, lr: str | None, runs: Sequence[Run]) -> str:
    seeds = {run.config.seed for run in runs}
    if seeds != set(range(len(seeds))):  # compare counts its seeds from 0
        return "\n".join(f"python -m neatlab runs show {run.run_id}" for run in runs)
    arms = " ".join(dict.fromkeys(f"--arm {shlex.quote(run.config.arm.label)}" for run in runs))
    rate = f" --lr {lr}" if lr else ""
    return f"python -m neatlab compare --task {shlex.quote(task)} {arms} --seeds {len(seeds)} --steps {steps}{rate}"


def _same(config: RunConfig, task: str, lr: str | None) -> bool:
    """Whether a run with the task's defaults, these steps and this learning rate is the same run."""
    training = {"steps": config.training.steps, "lr": lr and float(lr)}
    try:
        spec = TaskSpec.parse(task)
        return make_run(spec.name, config.arm, config.seed, spec.options, training).run_id == config.run_id
    except BadInput:
        return False

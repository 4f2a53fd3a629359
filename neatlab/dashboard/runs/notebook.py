"""The Runs tab's view as a notebook: the same runs, the same arms, the same figures."""

from collections.abc import Mapping
from pprint import pformat

import orjson

INTRODUCTION = """# Runs from the neatlab dashboard

The runs that were selected on the Runs tab: their results, the settings in which they differ, and their curves.
Change `RUNS` where the notebook is opened from another folder."""

LOAD = """import neatlab
from neatlab import plots
from neatlab.runs.results import Results

results = Results([run for run in neatlab.load_runs(RUNS).runs if run.run_id in ARMS])
missing = sorted(set(ARMS) - {run.run_id for run in results.runs})
print(f"{len(results.runs)} of {len(ARMS)} runs", f"(missing: {missing})" if missing else "")"""

DIFFER = """frame = results.frame()
frame["arm"] = frame["run"].map(ARMS)
varied = [name for name in frame if frame[name].astype(str).nunique() > 1]
frame.set_index("run")[[name for name in varied if name != "run"]].T"""

CURVES = """curves = results.curves()
curves["arm"] = curves["run"].astype(str).map(ARMS)
figures = {}
for task, (metric, ids) in TASKS.items():
    figures[task] = plots.learning_curves(curves[curves["run"].isin(ids)], metric).update_layout(title=task)
    figures[task].show()"""

SPECTRA = """spectra = results.spectra()
if len(spectra):
    spectra["arm"] = spectra["run"].map(ARMS)
    figures["effective rank"] = plots.effective_rank(spectra)
    figures["effective rank"].show()"""


def notebook(root: str, arms: Mapping[str, str], tasks: Mapping[str, tuple[str, list[str]]]) -> bytes:
    """The notebook as a file's content, nbformat 4.5.

    Args:
        root: The runs folder.
        arms: Run id → the arm that it is drawn as.
        tasks: Task → its metric, and the ids of its runs.
    """
    constants = f"RUNS = {root!r}\nARMS = {_literal(dict(arms))}\nTASKS = {_literal(dict(tasks))}"
    cells = [_cell(0, "markdown", INTRODUCTION)]
    cells += [
        _cell(index, "code", text) for index, text in enumerate((constants, LOAD, DIFFER, CURVES, SPECTRA), start=1)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2)


def _literal(value: object) -> str:
    return pformat(value, width=110, sort_dicts=False)


def _cell(index: int, kind: str, text: str) -> dict[str, object]:
    cell: dict[str, object] = {"id": f"cell-{index}", "cell_type": kind, "metadata": {}, "source": text}
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}

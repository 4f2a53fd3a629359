"""The table of margins in the documentation is the one that verdicts use."""

import re
from pathlib import Path

from neatlab.tasks import TASKS
from neatlab.tasks.custom.language import FINAL_ANSWER, LM_LOSS
from neatlab.tasks.metrics import METRICS

ROOT = Path(__file__).parents[1]


def test_each_metric_has_the_margin_that_the_documentation_gives():
    text = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    table = text.partition("| metric | margin |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \|", table, flags=re.MULTILINE)
    given = {name.strip(): float(margin) for names, margin in rows for name in names.split(",")}
    metrics = [row.metric for row in METRICS.values()] + [LM_LOSS, FINAL_ANSWER, TASKS["teacher"].metric]
    names = {"Pearson correlation": "Pearson"}
    assert {names.get(one.name, one.name): one.margin for one in metrics} == given
    for task in (row for name, row in TASKS.items() if name != "custom"):
        assert task.metric.margin == given[task.metric.name]

"""Answers as figures, as HTML and on the Train tab: order, signs, counts, and a stranger's text."""

from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

from neatlab import plots
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.train.charts import ChartCache
from neatlab.dashboard.train.charts.answers import caption
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.follow import update
from neatlab.dashboard.train.snapshot import ViewState, read_runs
from neatlab.dashboard.train.window import TrainWindow
from neatlab.errors import BadInput
from neatlab.experiments.execute import execute
from neatlab.plots import NO_ANSWERS, answers_data, only_right
from neatlab.report.answers import panel
from neatlab.report.page import render
from neatlab.runs.comparison import Comparison
from neatlab.runs.store import Store
from tests.dashboard_runs import pair, trained

EVIL = "<img src=x onerror=alert(1)>"
CLASSES = {"inputs": "text", "answers": "class", "names": ["red", EVIL], "shown": ["a", EVIL, "c", "d"]}
NUMBERS = {"inputs": "text", "answers": "number", "names": [], "shown": ["a", "b"], "true": [1.0, 2.0]}
OUTPUTS = {**NUMBERS, "inputs": "nothing", "answers": "outputs", "shown": [], "true": [[1.0, 0.0], [2.0, 5.0]]}


def row(arm: str, step: int, values: list[Any], seed: int = 0, **more: Any) -> dict[str, Any]:
    true = more.get("true", CLASSES.get("true", [0, 1, 0, 1]))
    is_class = more.get("answers", "class") == "class"
    right = [int(value == t) for value, t in zip(values, true, strict=True)] if is_class else []
    shares = [0.5 + i / 10 for i in range(len(values))] if is_class else []
    confusion = [[1, 2], [3, 4]] if is_class else []
    given = {"values": values, "right": right, "probability": shares, "margin": shares, "confusion": confusion}
    return {"run": f"{arm}-{seed}", "arm": arm, "seed": seed, "step": step, **CLASSES, "true": true, **given, **more}


def classes() -> pd.DataFrame:
    """The base is always red. At the end lora is wrong about c and d, neat about d alone."""
    rows = [row(arm, 0, [0, 0, 0, 0]) for arm in ("lora", "neat")]
    rows += [row("lora", 5, [0, 0, 0, 0]), row("neat", 5, [0, 1, 0, 0])]
    return pd.DataFrame([*rows, row("lora", 9, [0, 1, 1, 0]), row("neat", 9, [0, 1, 0, 0]), row("neat", 9, [1] * 4, 1)])


def numbers() -> pd.DataFrame:
    rows = [row("lora", 0, [0.0, 0.0], **NUMBERS), row("lora", 4, [1.5, 2.0], **NUMBERS)]
    return pd.DataFrame([*rows, row("neat", 4, [1.25, None], **NUMBERS)])


def outputs() -> pd.DataFrame:
    given = {"lora": [[1.0, 0.5], [2.0, 5.0]], "neat": [[1.0, 0.0], [2.0, 4.0]]}
    rows = [row(arm, 0, [[0.0, 0.0], [0.0, 0.0]], **OUTPUTS) for arm in given]
    return pd.DataFrame([*rows, *(row(arm, 4, values, **OUTPUTS) for arm, values in given.items())])


class Page(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, name: str) -> int:
        return sum(name in (attributes.get("class") or "").split() for _, attributes in self.elements)


def test_disagreements_stand_first_then_what_all_get_wrong() -> None:
    data = answers_data(classes())
    assert data.shown == ["c", "d", "a", EVIL]
    assert data.disagreed == 1
    assert data.true == [0, 1, 0, 1]
    assert [arm.values for arm in data.arms] == [[1, 0, 0, 1], [0, 0, 0, 1]]
    assert [arm.right for arm in data.arms] == [[0, 0, 1, 1], [1, 0, 1, 1]]
    assert data.base is not None
    assert data.base.values == [0, 0, 0, 0]
    assert [arm.probability for arm in data.arms] == [pytest.approx([0.7, 0.8, 0.5, 0.6])] * 2


def test_the_answers_are_the_last_up_to_the_step_and_of_one_seed() -> None:
    assert [arm.step for arm in answers_data(classes(), 8).arms] == [5, 5]
    assert answers_data(classes(), 8).shown[0] == EVIL
    assert [arm.step for arm in answers_data(classes(), 0).arms] == [0, 0]
    assert answers_data(classes(), 0).disagreed == 0
    (other,) = answers_data(classes(), seed=1).arms
    assert (other.arm, other.name, other.values) == ("neat", "NEAT", [1] * 4)
    assert [arm.name for arm in answers_data(classes(), arms=["neat", "lora"]).arms] == ["NEAT", "LoRA"]


def test_only_one_arm_right() -> None:
    data = answers_data(classes())
    lora, neat = data.arms
    assert only_right(data, lora) == []
    assert only_right(data, neat) == [0]


def test_a_single_arm_is_compared_with_its_base() -> None:
    data = answers_data(classes(), arms=["lora"])
    assert (data.disagreed, {*data.shown[:2]}) == (2, {EVIL, "c"})


def test_numbers_stand_by_their_spread_and_may_be_missing() -> None:
    assert answers_data(numbers()).shown == ["a", "b"]
    assert answers_data(outputs()).true == [[2.0, 5.0], [1.0, 0.0]]
    figure = plots.answers(numbers())
    assert {trace.name: list(trace.y) for trace in figure.data}["neat"] == [1.25, None]


def test_runs_of_several_tasks_are_refused() -> None:
    with pytest.raises(BadInput, match="2 different sets"):
        answers_data(pd.concat([classes(), pd.DataFrame([row("full", 9, [0, 0], shown=["x", "y"], true=[0, 0])])]))


def test_a_figure_of_classes_has_a_sign_in_each_cell_and_one_of_numbers_a_diagonal() -> None:
    (cells,) = plots.answers(classes()).data
    assert list(cells.x) == ["before training", "lora", "neat"]
    assert [list(line) for line in cells.text][:2] == [["✓ red", f"✗ {escape(EVIL)}", "✓ red"], ["✗ red"] * 3]
    drawn = plots.answers(outputs(), dark=True)
    assert [trace.name for trace in drawn.data] == ["before training", "lora", "neat"]
    assert sorted(drawn.data[1].x) == [0.0, 1.0, 2.0, 5.0]
    (line,) = drawn.layout.shapes
    assert (line.x0, line.x1) == (line.y0, line.y1) == (0, 5)


def test_without_answers_there_is_a_sentence() -> None:
    empty = classes().iloc[:0]
    assert answers_data(empty).arms == []
    assert plots.answers(empty).layout.annotations[0].text == NO_ANSWERS
    assert NO_ANSWERS in panel(answers_data(empty))


@pytest.mark.parametrize("frame", [classes(), numbers(), outputs()], ids=["classes", "numbers", "outputs"])
def test_a_strangers_text_stays_text(frame: pd.DataFrame) -> None:
    page = Page(str(panel(answers_data(frame))))
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert not any(tag in ("img", "script") for tag, _ in page.elements)


def test_every_answer_has_its_sign_and_every_arm_its_score() -> None:
    page = Page(str(panel(answers_data(classes()))))
    assert EVIL in page.text
    assert page.count("answers-apart") == 2  # once more among those that only neat gets right
    assert (page.count("answers-right"), page.count("answers-wrong")) == (7 + 2, 5 + 1)
    assert page.text.count("✓") == page.count("answers-right")
    assert page.text.count("✗") == page.count("answers-wrong")
    for said in ("3 of 4", "2 of 4", "Confusion matrix", "right: 1", "+0.70"):
        assert said in page.text


def test_an_arm_that_tells_no_examples_apart_is_named() -> None:
    data = answers_data(classes())
    assert "to every example" not in caption(["lora", "neat"], data)
    blind = data.arms[1]._replace(confusion=[[3, 0], [7, 0]])
    assert caption(["lora", "neat"], data._replace(arms=[data.arms[0], blind])).endswith(
        " NEAT answers red to every example."
    )
    assert blind._replace(confusion=[]).only_answer is None  # of very many classes no table is kept


def test_points_have_an_outline_for_each_known_number() -> None:
    text = str(panel(answers_data(outputs())))
    paths = [attributes["d"] or "" for tag, attributes in Page(text).elements if tag == "path" and "d" in attributes]
    assert [path.count("M") for path in paths if path.count("M") > 2] == [4, 4, 4]
    assert "mean error 0.125" in text
    assert "mean error –" in panel(answers_data(numbers()))


def test_the_page_shows_the_answers_of_the_stored_runs_at_the_step(runs: Path) -> None:
    trained(Store(runs), *pair())
    window = TrainWindow(Feed(runs), configs=pair(), order=object())  # type: ignore[arg-type]
    shown = []
    for at in (None, 4):
        window.view = ViewState(at=at)
        shown.append(orjson.loads(update(window, Context(Store(runs), None)).charts["answers"] or ""))  # type: ignore[arg-type]
    assert shown[0]["caption"].startswith("Answers of step 6.")
    assert shown[1]["caption"].startswith("Answers of step 3.")
    assert "mean error" in shown[0]["html"]
    assert shown[0]["html"] != shown[1]["html"]


def test_runs_without_answers_say_so_and_new_ones_stand_beside_them(runs: Path) -> None:
    for config in pair():
        list(execute(config, Store(runs)))
        path = runs / config.run_id / "events.jsonl"
        kinds = (b'"type":"Predicted"', b'"type":"ExamplesChosen"')
        if config.arm.method == "lora":
            path.write_bytes(b"".join(x for x in path.read_bytes().splitlines(True) if not any(k in x for k in kinds)))
    new = orjson.loads(ChartCache().charts(read_runs(pair(), Feed(runs)), ViewState())["answers"] or "")
    old = orjson.loads(ChartCache().charts(read_runs(pair()[:1], Feed(runs)), ViewState())["answers"] or "")
    assert "No answers of LoRA" in new["caption"]
    assert NO_ANSWERS in old["html"]


def test_the_report_holds_them(runs: Path) -> None:
    comparison = Comparison(trained(Store(runs), *pair()))
    page = Page(render(comparison, "neatlab compare"))
    assert "24 examples of the validation split, seed 0, step 6" in page.text
    assert page.count("answers-points") == 1

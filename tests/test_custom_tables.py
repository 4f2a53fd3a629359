"""Tables as spreadsheets write them: separators, decimal marks, encodings; and decimals learnt as a regression."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from neatlab import cli
from neatlab.errors import BadInput
from neatlab.experiments.compare import compare
from neatlab.experiments.trained import load_trained
from neatlab.export.adapters import export
from neatlab.runs.labels import labels
from neatlab.tasks import METRICS, TaskSpec, load_task
from neatlab.tasks.custom import readers
from neatlab.tasks.custom.dialects import dialect, looks_continuous, parse_numbers
from tests.folders import bert_folder

WORDS = ("grün, hell", "schön; warm", "naïve façade", "plain day")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
ENCODINGS = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "cp1252": "Windows-1252", "latin-1": "Windows-1252"}


def scored(count=60):
    """Texts whose letters say their number."""
    return [{"text": f"{'abcd'[i % 4] * 6} {WORDS[i % 4]} {i}", "score": 2.5 + i % 4 + i / 1000} for i in range(count)]


def written(folder, rows=None, name="data.csv", **settings):
    path = folder / name
    pd.DataFrame(scored() if rows is None else rows).to_csv(path, index=False, **settings)
    return str(path)


def read(data):
    return readers.read(readers.find_source(data, "", "train"), 10_000, 0)


def custom(data, **options):
    return load_task("custom", {"model": bert_folder(), "data": data, **options})


@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-16"])
@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("decimal", [".", ","])
def test_every_dialect_gives_the_same_rows_and_says_how_it_was_read(tmp_path, separator, encoding, decimal):
    data = written(tmp_path, sep=separator, encoding=encoding, decimal=decimal, lineterminator="\r\n")
    rows = read(data)
    assert rows.frame["text"].tolist() == [row["text"] for row in scored()]
    expected = [row["score"] for row in scored()]
    assert parse_numbers(rows.frame["score"], rows.separator) == pytest.approx(expected)
    named = ENCODINGS.get(encoding, "UTF-16")
    assert rows.dialect.note == f"read as {named}, columns separated by {SEPARATORS[separator]}"


def test_a_spreadsheets_csv_with_its_hint_empty_rows_and_columns(tmp_path):
    lines = ["sep=;", "text;score;;", *(f'"{WORDS[i % 4]} {i}";{i},5;;' for i in range(40)), ";;;", ";;;"]
    (tmp_path / "excel.csv").write_bytes("\r\n".join(lines).encode("cp1252"))
    task = custom(str(tmp_path / "excel.csv"))
    options = task._options
    assert (options.kind, options.text, options.label, options.metric) == ("regression", "text", "score", "r2")
    said = "\n".join(task.describe())
    for words in (
        "train data: 40 rows",
        "read as Windows-1252, columns separated by semicolons",
        "numbers from 0.5 to 39.5, read with decimal commas",
    ):
        assert words in said


CELL = st.text(st.characters(codec="cp1252", exclude_characters='\r\n\x00"'), min_size=1, max_size=12).map(
    lambda text: f"x{text}"
)


def is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=60, deadline=None)
@example([("x0", 0.0), ("x\u00c2\u0152", 0.0)], ",", ".", "utf-8")
@given(
    st.lists(st.tuples(CELL, st.floats(-1e6, 1e6).map(lambda x: round(x, 3))), min_size=2, max_size=20),
    st.sampled_from([*SEPARATORS]),
    st.sampled_from([".", ","]),
    st.sampled_from(["utf-8", "cp1252"]),
)
def test_what_is_written_is_read(tmp_path_factory, cells, separator, decimal, encoding):
    texts = "".join(text for text, _ in cells)
    assume(texts.isascii() or not is_utf8(texts.encode(encoding)) or encoding == "utf-8")  # else it can be either
    rows = [{"text": text, "score": number} for text, number in cells]
    data = written(tmp_path_factory.mktemp("round"), rows, sep=separator, decimal=decimal, encoding=encoding, quoting=1)
    frame = read(data).frame
    assert frame["text"].tolist() == [text for text, _ in cells]
    assert [parse_numbers([cell], ";")[0] for cell in frame["score"]] == [number for _, number in cells]


@pytest.mark.parametrize(
    ("cells", "separator", "numbers"),
    [
        (["3.165", "2"], ",", [3.165, 2]),
        (["3,165", "2"], ";", [3.165, 2]),
        (["3,165", "2"], ",", [3165, 2]),  # an English table, in which a decimal comma would be quoted
        (["0,165", "2"], ",", [0.165, 2]),
        (["3,16", "2"], ",", [3.16, 2]),
        (["1.234,5", "2"], ",", [1234.5, 2]),
        (["1,234.5", "2"], ";", [1234.5, 2]),
        (["1 234,5", "−2"], ";", [1234.5, -2]),
        (["1e3", ".5", "5."], ",", [1000, 0.5, 5]),
        ([1.5, 2], ",", [1.5, 2]),
        (["3.1", "3,1"], ",", None),
        (["3.1", ""], ",", None),
        (["1.2.3"], ",", None),
        (["12 mm"], ",", None),
        (["True"], ",", None),
        ([], ",", None),
    ],
)
def test_numbers_are_read_by_their_column(cells, separator, numbers):
    assert parse_numbers(cells, separator) == numbers


@pytest.mark.parametrize(
    ("cells", "is_continuous"),
    [
        (["1.5", "2"] * 9, True),
        (["1.0", "2.0"] * 9, False),
        ([str(i % 5) for i in range(50)], False),
        ([str(1000 + 7 * i) for i in range(50)], True),
        ([str(i) for i in range(8)], False),
        (["good", "1.5"], False),
    ],
)
def test_decimals_and_numbers_that_seldom_come_twice_are_learnt_as_numbers(cells, is_continuous):
    assert looks_continuous(cells) is is_continuous


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text;score\na;1\nb;2;3\n", "line 3 has 3 columns, the first has 2; put texts that hold the separator"),
        (b"a,b\n1,2,3\n4,5,6\n", "its rows have more columns than its first line"),
        (b'text,score\n"a,1\nb,2\n', "row 1 begins a quotation mark"),
        (b"text\n\x81\n", "neither UTF-8 nor Windows-1252"),
        (b"PK\x03\x04 and more", "it is an Excel workbook or a zip; save it as CSV"),
        (b"a\x00b", "it is not text"),
    ],
)
def test_what_cannot_be_read_is_said_in_plain_words(tmp_path, content, message):
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read(str(tmp_path / "data.csv"))


def test_a_workbook_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "data.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(BadInput, match="save the workbook as CSV"):
        readers.find_source(str(tmp_path / "data.xlsx"), "", "train")


def test_one_column_of_texts_may_hold_any_separator(tmp_path):
    (tmp_path / "data.csv").write_text("text\na, b\nc; d; e\n")
    assert read(str(tmp_path / "data.csv")).frame["text"].tolist() == ["a, b", "c; d; e"]
    assert dialect(tmp_path / "data.csv").note == "read as UTF-8, one column"


# What is learnt.


def test_a_column_of_decimals_is_a_regression_and_the_alternative_is_said(tmp_path):
    rows = [{"text": row["text"], "score": (i % 4) + 0.5} for i, row in enumerate(scored())]
    task = custom(written(tmp_path, rows))
    assert (task._options.kind, task._options.label, task._options.metric) == ("regression", "score", "r2")
    said = "\n".join(task.describe())
    assert "regression: text from 'text', label from 'score'; judged by R²" in said
    assert "'score' can also be learnt as kind=labels" in said
    other = custom(written(tmp_path, rows), kind="labels")
    assert other._options.metric == "accuracy"
    assert "'score' can also be learnt as kind=regression" in "\n".join(other.describe())
    assert "examples a label: 0.5 15, 1.5 15, 2.5 15, 3.5 15" in "\n".join(other.describe())


def test_labels_that_are_numbers_and_rare_are_sent_to_regression(tmp_path):
    with pytest.raises(
        BadInput, match=r"label '2\.5' has 1 example; each needs at least 4; to learn them as numbers take kind=regress"
    ):
        custom(written(tmp_path), kind="labels").split("train")


def test_the_model_learns_numbers_about_one_and_is_judged_in_the_datas_units(tmp_path):
    task = custom(written(tmp_path))
    options = task._options
    scores = [row["score"] for row in scored()]
    assert options.center == pytest.approx(np.mean(scores), abs=0.01)
    assert options.scale == pytest.approx(np.std(scores), abs=0.01)
    labels = task.split("train")["label"]
    assert labels.is_floating_point() and abs(float(labels.mean())) < 0.3 and 0.7 < float(labels.std()) < 1.3
    score = task.score(task.base_model(), "test")
    assert set(score.outcomes.true.round(3).tolist()) <= {np.float32(round(s, 3)) for s in scores}
    assert score.metric == pytest.approx(r2_score(score.outcomes.true, score.outcomes.predicted))


def test_a_table_of_numbers_alone_is_read_as_texts(tmp_path):
    rows = [{"size": i % 7, "age": f"{i / 10},0".replace(".", ""), "value": i * 1.25} for i in range(40)]
    task = custom(written(tmp_path, rows, sep=";", decimal=","))
    assert (task._options.kind, task._options.label) == ("regression", "value")
    assert task._options.prompt == "size: {size}, age: {age}"
    assert task.split("train")["input_ids"].shape[0] > 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({5: "high"}, r"'score' is not a finite number in row 6: 'high'; allowed: numbers such as 3\.165 or 3,165"),
        ({7: ""}, "not a finite number in row 8"),
        ({7: "1e99"}, "not a finite number in row 8"),
        ({8: "3,5"}, "row 9: '3,5'; allowed: .* written alike"),
        (dict.fromkeys(range(60), "2.5"), "every row has the number 2.5"),
    ],
)
def test_numbers_that_cannot_be_learnt(tmp_path, change, message):
    rows = [{"text": row["text"], "score": change.get(i, row["score"])} for i, row in enumerate(scored())]
    with pytest.raises(BadInput, match=message) as caught:
        custom(written(tmp_path, rows), kind="regression")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("true", [[1.0, 2.0, 4.0], [3.0, 3.0, 3.0]])
def test_r2_is_scikit_learns(true):
    assert METRICS["r2"].compute(true, [1.5, 2.0, 3.0]) == pytest.approx(r2_score(true, [1.5, 2.0, 3.0]))
    assert np.isnan(METRICS["r2"].compute(true, [1.0, np.inf, 0.0]))


def test_a_regression_is_trained_compared_and_exported(tmp_path, runs, capsys):
    data = written(tmp_path, sep=";", decimal=",", encoding="cp1252")
    task = f"custom:model={bert_folder()},data={data}"
    result = compare(task, ["lora:rank=2", "neat:rank=2"], seeds=2, steps=40, runs=runs)
    assert result.metric.name == "R²" and result.metric.margin == 0.02
    validation = result.curves().query("split == 'validation'").groupby(["arm", "seed"])["loss"]
    assert (validation.last() < 0.9 * validation.first()).all()
    assert "R²" in "\n".join(result.verdict())
    run = result.runs[0]
    shown = next(event for event in run.events if event["type"] == "ExamplesChosen")
    scores = [row["score"] for row in scored()]
    assert all(min(abs(value - score) for score in scores) < 1e-3 for value in shown["true"])
    export(run, "merged", tmp_path / "merged")
    model = load_trained(run).model
    assert model.config.label_scale == run.config.task_options["scale"]
    saved = (tmp_path / "merged" / "config.json").read_text()
    assert f'"label_center": {run.config.task_options["center"]}' in saved
    words = ["compare", "--task", task, "--arm", "lora:rank=2", "--seeds", "1", "--steps", "1", "--runs", str(runs)]
    assert cli.main(words) == 0
    said = capsys.readouterr().err
    assert "train data: read as Windows-1252, columns separated by semicolons" in said
    assert re.search(r"about \d+ s an arm here \(1 steps\)", said)


def test_the_csv_that_pandas_writes_for_excel(tmp_path):
    file = io.BytesIO()
    pd.DataFrame(scored()).to_csv(file, sep=";", decimal=",", encoding="utf-8-sig", index=False)
    (tmp_path / "data.csv").write_bytes(file.getvalue())
    assert list(read(str(tmp_path / "data.csv")).frame.columns) == ["text", "score"]


def test_a_label_names_the_file_and_neither_its_folder_nor_the_models(tmp_path):
    data = written(tmp_path)
    label = TaskSpec("custom", custom(data)._options.model_dump()).label
    name = Path(bert_folder()).name
    assert re.fullmatch(rf"custom:model={name},data=data\.csv@[0-9a-f]{{4}},label=score,metric=r2", label)
    written(tmp_path, scored(61))
    assert TaskSpec("custom", custom(data)._options.model_dump()).label != label


def test_runs_on_two_versions_of_a_file_are_told_apart_by_name(tmp_path, runs):
    task = f"custom:model={bert_folder()},data={written(tmp_path)}"
    before = compare(task, ["lora:rank=2"], seeds=1, steps=1, runs=runs).runs
    written(tmp_path, scored(61))
    after = compare(task, ["lora:rank=2"], seeds=1, steps=1, runs=runs).runs
    names = labels([*before, *after]).values()
    assert len({*names}) == 2 and not any(str(tmp_path) in name for name in names)
    assert all(re.fullmatch(r"lora:rank=2 @ data=data\.csv@[0-9a-f]{4}", name) for name in names)

"""The task custom: your model on your data, from a tiny folder and a tiny file."""

import json

import pandas as pd
import pytest
import torch
from PIL import Image

from neatlab.config import make_arm, make_run
from neatlab.errors import BadInput
from neatlab.experiments.compare import compare
from neatlab.experiments.execute import make_task
from neatlab.tasks import TaskSpec, load_task
from neatlab.tasks.base import size
from tests.folders import bert_folder, llama_folder, roberta_folder, vit_folder

MOODS = {"good": "bright sunny kind", "bad": "dark rainy cruel", "dull": "grey plain slow"}


def sentences(count=90):
    words = {mood: told.split() for mood, told in MOODS.items()}
    moods = [[*MOODS][i % 3] for i in range(count)]
    return [{"review": f"{i} {words[mood][i % 3]} day", "mood": mood} for i, mood in enumerate(moods)]


def table(folder, rows=None, name="data.csv"):
    path = folder / name
    pd.DataFrame(sentences() if rows is None else rows).to_csv(path, index=False)
    return str(path)


def custom(data, model=None, **options):
    return load_task("custom", {"model": model or bert_folder(), "data": data, **options})


def test_columns_labels_and_splits_are_found_and_told(tmp_path):
    task = custom(table(tmp_path), max_length=10)
    told = task._options
    assert (told.kind, told.text, told.label, told.metric) == ("labels", "review", "mood", "accuracy")
    assert {name: size(task.split(name)) for name in ("train", "validation", "test")} == {
        "train": 61,
        "validation": 11,
        "test": 18,
    }
    for name in ("train", "validation", "test"):
        assert set(task.split(name)["label"].tolist()) == {0, 1, 2}
    said = "\n".join(task.describe())
    for words in (
        "train data: 90 rows",
        "text from 'review', label from 'mood'; judged by accuracy",
        "3 labels: 0 = bad, 1 = dull, 2 = good",
        "90 of 90 texts cut off at 10 tokens",
        "adapters on query, value; classifier trains whole",
    ):
        assert words in said


def test_no_example_is_in_two_splits(tmp_path):
    rows = sentences()
    task = custom(table(tmp_path, [*rows, *rows[:30]]), test=table(tmp_path, rows[:20], "test.csv"))
    rows_of = {
        name: {bytes(r.numpy()[r > 0]) for r in task.split(name)["input_ids"]}
        for name in ("train", "validation", "test")
    }
    assert not rows_of["train"] & rows_of["test"] and not rows_of["validation"] & rows_of["test"]
    assert not rows_of["train"] & rows_of["validation"]
    assert size(task.split("test")) == 20
    assert "50 examples left out of training" in "\n".join(task.describe())


def test_a_folder_by_split_keeps_its_splits(tmp_path):
    rows = sentences()
    parts = {"train": rows[:60], "validation": rows[60:72], "test": rows[72:]}
    for name, part in parts.items():
        table(tmp_path, part, f"{name}.csv")
    task = custom(str(tmp_path))
    assert {name: size(task.split(name)) for name in parts} == {"train": 60, "validation": 12, "test": 18}
    # What GLUE needs: the report on `validation`, settings chosen on a part of the training data.
    other = custom(str(tmp_path), test_split="validation")
    assert size(other.split("test")) == 12
    assert size(other.split("train")) + size(other.split("validation")) == 60


def test_a_sample_is_told(tmp_path):
    task = custom(table(tmp_path), limit=45)
    assert "train data: 90 rows, a sample of 45 kept" in task.describe()
    assert sum(size(task.split(name)) for name in ("train", "validation", "test")) == 45


def test_a_pair_of_texts(tmp_path):
    rows = [{"a": row["review"], "b": "second", "label": row["mood"]} for row in sentences()]
    one, two = (custom(table(tmp_path, rows), text="a", **pair) for pair in ({}, {"pair": "b"}))
    assert two.split("train")["input_ids"].shape[1] == one.split("train")["input_ids"].shape[1] + len("second") + 1


def test_labels_judged_by_correlation_are_learnt_as_they_are(tmp_path):
    rows = [{"text": row["review"], "score": i / 7} for i, row in enumerate(sentences())]
    task = custom(table(tmp_path, rows), label="score", metric="pearson", kind="labels")
    model = task.base_model()
    assert model.classifier.out_features == 1
    assert task.split("train")["label"].is_floating_point()
    score = task.score(model, "validation")
    assert -1 <= score.metric <= 1 and score.loss > 1
    assert TaskSpec("custom", task._options.model_dump()).metric.name == "Pearson correlation"
    rows[3]["score"] = "high"
    with pytest.raises(BadInput, match="not a finite number in row 4"):
        custom(table(tmp_path, rows), label="score", metric="pearson").split("train")


@pytest.mark.parametrize("arm", ["lora", "neat", "head"])
def test_a_run_learns(tmp_path, runs, arm):
    rows = [{"text": "abc"[i % 3] * 8 + f" {i}", "label": i % 3} for i in range(60)]
    task = f"custom:model={bert_folder()},data={table(tmp_path, rows)}"
    compared = compare(task, [f"{arm}:rank=4" if arm != "head" else arm], seeds=1, steps=40, runs=runs)
    validation = compared.curves().query("split == 'validation'")
    assert validation["loss"].iloc[-1] < 0.9 * validation["loss"].iloc[0]
    assert compared.metric.name == "accuracy"


def test_a_classifier_that_is_trained_is_kept_unless_told(tmp_path):
    model = bert_folder(("bad", "dull", "good"))
    kept, fresh = custom(table(tmp_path), model), custom(table(tmp_path), model, new_head=True)
    trained = kept.base_model().classifier.weight
    assert torch.equal(trained, custom(table(tmp_path), model).base_model().classifier.weight)
    assert not torch.equal(trained, fresh.base_model().classifier.weight)
    assert torch.equal(fresh.base_model().classifier.weight, fresh.base_model().classifier.weight)
    other = custom(table(tmp_path), bert_folder(("bad", "good")), new_head=True)
    assert other.base_model().classifier.out_features == 3


def test_a_changed_file_is_another_run(tmp_path):
    def run_id():
        data = {"model": bert_folder(), "data": str(tmp_path / "data.csv")}
        return make_run("custom", make_arm("lora", {}), 0, data, {})

    table(tmp_path)
    before = run_id()
    assert before.run_id == run_id().run_id
    table(tmp_path, sentences(93))
    assert before.run_id != run_id().run_id
    with pytest.raises(BadInput, match="has changed since this run"):
        make_task(before).split("train")
    assert before.spec.metric.name == "accuracy"  # a stored run is shown without its data


def test_targets_are_given_or_refused(tmp_path):
    data = table(tmp_path)
    assert custom(data, targets="query + intermediate.dense").targets == ["query", "intermediate.dense"]
    with pytest.raises(BadInput, match="no layer is named 'queri'; nearest: query"):
        compare(f"custom:model={bert_folder()},data={data},targets=queri", ["lora"], seeds=1)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (None, {"label": "mod"}, "unknown column of .*data.csv 'mod'; allowed: mood, review; did you mean 'mood'"),
        (None, {"text": "words"}, "unknown column .*'words'"),
        (None, {"metric": "acuracy"}, "did you mean 'accuracy'"),
        (None, {"metric": "exact-match"}, "unknown metric for labels"),
        (None, {"prompt": "{nothing}", "kind": "language"}, "unknown column .*'nothing'"),
        ([{"text": f"t{i}", "label": "same"} for i in range(20)], {}, "every row has the label 'same'"),
        (
            [{"text": " " if i == 4 else f"t{i}", "label": "ab"[i % 2]} for i in range(20)],
            {},
            "no text in 'text'.* row 5",
        ),
        ([{"text": "same", "label": "ab"[i % 2]} for i in range(20)], {}, "1 different examples"),
        (sentences(), {"model": ("bad", "good")}, "labels outside the model's: dull; it knows bad, good"),
    ],
)
def test_data_that_is_refused(tmp_path, rows, options, message):
    model = bert_folder(options.pop("model", ()))
    with pytest.raises(BadInput, match=message) as caught:
        custom(table(tmp_path, rows), model, **options).base_model()
    assert "\n" not in str(caught.value)


def test_labels_that_only_the_test_data_have(tmp_path):
    extra = [{"review": f"odd {i}", "mood": "odd"} for i in range(4)]
    with pytest.raises(BadInput, match="labels that the training data lack: odd"):
        custom(table(tmp_path), test=table(tmp_path, extra, "test.csv")).split("train")


# Images.


def paint_classes(folder, count=12):
    for kind, color in (("red", (200, 20, 20)), ("blue", (20, 20, 200))):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (20, 24), tuple(c + i for c in color)).save(folder / kind / f"{i}.png")


def test_a_folder_of_images_by_class(tmp_path, runs):
    paint_classes(tmp_path / "all")
    task = custom(str(tmp_path / "all"), vit_folder())
    assert (task._options.kind, task.targets, task.head) == ("images", ["q_proj", "v_proj"], ["classifier"])
    assert task.split("train")["pixel_values"].shape[1:] == (3, 16, 16)
    assert "2 labels: 0 = blue, 1 = red" in task.describe()
    text = f"custom:model={vit_folder()},data={tmp_path / 'all'}"
    compared = compare(text, ["lora:rank=2"], seeds=1, steps=20, runs=runs)
    assert compared.frame()["metric"].iloc[0] > 0.9


def test_images_in_splits_and_tables(tmp_path):
    paint_classes(tmp_path / "a/train")
    paint_classes(tmp_path / "a/test", 3)
    task = custom(str(tmp_path / "a"), vit_folder())
    assert size(task.split("test")) == 6
    rows = [{"image": f"a/train/{kind}/{i}.png", "label": kind} for kind in ("red", "blue") for i in range(12)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    other = custom(str(tmp_path / "train.jsonl"), vit_folder())
    assert other._options.kind == "images"
    assert sum(size(other.split(name)) for name in ("train", "validation", "test")) == 24


def test_a_broken_image_is_named_before_training(tmp_path):
    paint_classes(tmp_path / "all")
    (tmp_path / "all/red/3.png").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"red/3\.png"):
        compare(f"custom:model={vit_folder()},data={tmp_path / 'all'}", ["lora"], seeds=1)


def test_roberta_and_a_language_models_labels(tmp_path):
    for model in (roberta_folder(), llama_folder()):
        task = custom(table(tmp_path), model, kind="labels")
        score = task.score(task.base_model(), "validation")
        assert score.loss == pytest.approx(1.1, abs=0.2)

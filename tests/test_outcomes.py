"""What a run keeps of each test example: enough to compute its metric again, in one order, read with care."""

from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from neatlab.config import make_run, parse_arm
from neatlab.errors import StoreError
from neatlab.events import Event, RunFinished
from neatlab.experiments import cluster
from neatlab.experiments.execute import execute, make_task
from neatlab.experiments.trained import load_trained
from neatlab.runs import outcomes as files
from neatlab.runs.outcomes import FILE, read_outcomes, write_outcomes
from neatlab.runs.store import Store
from neatlab.runtime import distributed
from neatlab.tasks import METRICS, TASKS, Outcomes, same_examples
from neatlab.tasks.custom.options import MEASURES, REGRESSION
from tests.folders import bert_folder, llama_folder, vit_folder
from tests.task_texts import CASES
from tests.test_custom import paint_classes, sentences, table

HEADER = 256  # bytes that a file may have beyond its numbers
DIGITS = make_run("digits", parse_arm("lora:rank=2"), 0, {}, {"steps": 1})
EXAMPLE = Outcomes.of([0, 1, 2], [0, 2, 2])


def ran(config, runs):
    """The run, trained."""
    list(execute(config, Store(runs)))
    return Store(runs).get(config.run_id)


def shown(outcomes):
    return outcomes.true.tolist(), outcomes.predicted.tolist()


def custom(folder, kind, metric):
    """Options of a small task of this kind, judged by this metric."""
    if kind == "images":
        paint_classes(folder / "all")
        return {"model": vit_folder(), "data": str(folder / "all"), "metric": metric}
    if kind == "language":
        rows = [{"text": f"{number}=", "answer": str(number % 3)} for number in range(40)]
        told = {"prompt": "{text}", "label": "answer", "max_answer": 2}
        return {"model": llama_folder(), "data": table(folder, rows), "kind": kind, "metric": metric, **told}
    rows = [
        {
            "text": row["review"],
            "label": i / 7 if kind == "regression" or metric in REGRESSION else i % (2 if metric == "f1" else 3),
        }
        for i, row in enumerate(sentences(60))
    ]
    return {"model": bert_folder(), "data": table(folder, rows), "kind": kind, "metric": metric}


def assert_computable(run, metric):
    """From its file the run's metric follows, and the file holds little else."""
    outcomes, count = run.outcomes, len(run.outcomes)
    assert METRICS[metric].compute(outcomes.true, outcomes.predicted) == pytest.approx(run.summary["metric"], rel=1e-6)
    assert (run.path / FILE).stat().st_size <= 8 * count + HEADER
    task = make_task(run.config)
    assert count == len(next(iter(task.split("test").values())))


@pytest.mark.parametrize(("kind", "metric"), [(kind, metric) for kind in MEASURES for metric in MEASURES[kind]])
def test_the_metric_of_custom_follows_from_its_outcomes(tmp_path, runs, kind, metric):
    config = make_run("custom", parse_arm("lora:rank=2"), 0, custom(tmp_path, kind, metric), {"steps": 2})
    run = ran(config, runs)
    if metric == "loss":  # a mean over tokens
        assert run.outcomes is None
        return
    assert_computable(run, {"final-answer": "exact-match"}.get(metric, metric))
    if kind != "language":
        labels, options = make_task(config).split("test")["label"].numpy(), config.task_options
        assert run.outcomes.true == pytest.approx(options["center"] + options["scale"] * labels)


WITHOUT = {"teacher"}
MEASURED_BY = {"arithmetic": "exact-match", "chat": "exact-match"}


@pytest.mark.parametrize("name", [name for name in TASKS if name != "custom"])
def test_the_metric_of_a_task_follows_from_its_outcomes(runs, name):
    run = ran(make_run(name, parse_arm("lora:rank=2"), 0, CASES[name].options, {"steps": 1}), runs)
    if name in WITHOUT:
        assert run.outcomes is None
        assert not (run.path / FILE).exists()
        return
    assert_computable(run, MEASURED_BY.get(name, "accuracy"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return ran(DIGITS, tmp_path_factory.mktemp("digits"))


def test_outcomes_are_the_predictions_of_the_trained_model(digits):
    batch, model = make_task(DIGITS).split("test"), load_trained(digits).model.eval()
    with torch.no_grad():
        predicted = model(pixel_values=batch["pixels"]).logits.argmax(1)
    assert shown(digits.outcomes) == (batch["label"].tolist(), predicted.tolist())
    assert 0 < digits.summary["metric"] < 1


def test_two_arms_on_one_task_have_the_same_examples(tmp_path, runs):
    options = custom(tmp_path, "labels", "pearson")

    def outcomes(arm, seed, **changed):
        return ran(make_run("custom", parse_arm(arm), seed, {**options, **changed}, {"steps": 2}), runs).outcomes

    first, second = outcomes("lora:rank=2", 0), outcomes("neat:rank=2", 1)
    assert same_examples(first, second)
    assert first.predicted.tolist() != second.predicted.tolist()
    assert not same_examples(first, outcomes("neat:rank=2", 1, split_seed=1))


def test_examples_that_do_not_pair():
    assert same_examples(EXAMPLE, Outcomes.of([0, 1, 2], [1, 1, 1]))
    assert not same_examples(EXAMPLE, Outcomes.of([0, 1], [0, 2]))
    assert not same_examples(EXAMPLE, Outcomes.of([0, 2, 1], [0, 2, 2]))


def test_listeners_and_the_events_file_get_events_alone(runs):
    events = list(execute(DIGITS, Store(runs), should_continue=lambda event: True))
    assert all(isinstance(event, get_args(Event)) for event in events)
    run = Store(runs).get(DIGITS.run_id)
    assert [event["type"] for event in run.events] == [type(event).__name__ for event in events]
    assert len(run.outcomes) > 0


def test_the_file_is_there_when_the_run_says_that_it_is_done_and_not_used_before(runs):
    events, path = execute(DIGITS, Store(runs)), runs / DIGITS.run_id
    for event in events:
        assert (path / FILE).exists() == isinstance(event, RunFinished)
    assert Store(runs).get(DIGITS.run_id).outcomes is not None
    (path / "summary.json").unlink()  # as if the process had been killed just before
    assert Store(runs).get(DIGITS.run_id).outcomes is None


def test_a_process_that_is_not_the_main_one_writes_nothing(tmp_path, runs, monkeypatch):
    config = make_run("custom", parse_arm("head"), 0, custom(tmp_path, "labels", "accuracy"), {"steps": 1})
    monkeypatch.setattr(distributed, "is_main", lambda: False)
    events = list(execute(config, Store(runs)))
    assert isinstance(events[-1], RunFinished)
    assert all(isinstance(event, get_args(Event)) for event in events)
    assert not runs.exists()


def test_an_evaluation_is_the_same_with_and_without_outcomes():
    task = make_task(DIGITS)
    model = task.base_model()
    assert task.score(model, "validation") == task.score(model, "validation")


def test_a_run_from_another_machine_brings_its_outcomes(digits, runs, monkeypatch):
    monkeypatch.setattr(cluster, "_train", lambda run, store, *_: list(execute(run, store)))
    sent = cluster.train_one(DIGITS.model_dump(), str(runs / "not-shared"), "another", "session", False)
    assert FILE in sent
    Store(runs).adopt(DIGITS.run_id, sent)
    assert shown(Store(runs).get(DIGITS.run_id).outcomes) == shown(digits.outcomes)


def test_a_run_of_before_there_were_outcomes_has_none(runs):
    run = ran(DIGITS, runs)
    (run.path / FILE).unlink()
    old = Store(runs).get(DIGITS.run_id)
    assert (old.status, old.outcomes) == ("finished", None)


def test_what_is_written_is_read_back(tmp_path):
    numbers = Outcomes.of([0.1, -2.5e30, 7], [1 / 3, 0, 1e-30])
    write_outcomes(tmp_path, numbers)
    assert shown(read_outcomes(tmp_path)) == shown(numbers)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    answers = Outcomes.answers([True, False])
    assert (answers.true.dtype, shown(answers)) == (np.float32, ([1, 1], [1, 0]))


def columns(**changed):
    return save({"true": EXAMPLE.true, "predicted": EXAMPLE.predicted, **changed})


DAMAGE = {
    "empty": b"",
    "text": b"not safetensors",
    "cut off": columns()[:-4],
    "longer": columns() + b"1234",
    "a column missing": save({"true": EXAMPLE.true}),
    "a column too many": columns(weight=EXAMPLE.true),
    "another precision": columns(true=EXAMPLE.true.astype(np.float64), predicted=EXAMPLE.true.astype(np.float64)),
    "whole numbers": columns(true=EXAMPLE.true.astype(np.int32), predicted=EXAMPLE.true.astype(np.int32)),
    "two precisions": columns(true=EXAMPLE.true.astype(np.float64)),
    "two lengths": columns(true=EXAMPLE.true[:2]),
    "two dimensions": columns(true=EXAMPLE.true[None], predicted=EXAMPLE.true[None]),
    "no example": columns(true=EXAMPLE.true[:0], predicted=EXAMPLE.true[:0]),
    "nothing": save({}),
    "NaN": columns(predicted=np.float32([0, np.nan, 1])),
    "infinite": columns(true=np.float32([0, -np.inf, 1])),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_named_in_one_line(tmp_path, name):
    (tmp_path / FILE).write_bytes(DAMAGE[name])
    with pytest.raises(StoreError, match=r"outcomes\.safetensors cannot be read: .") as caught:
        read_outcomes(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    write_outcomes(tmp_path, EXAMPLE)
    monkeypatch.setattr(files, "MAX_BYTES", 64)
    with pytest.raises(StoreError, match="allowed: 64"):
        read_outcomes(tmp_path)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        read_outcomes(tmp_path)


def test_damaged_outcomes_leave_the_rest_of_the_run_readable(runs):
    run = ran(DIGITS, runs)
    (run.path / FILE).write_bytes(DAMAGE["cut off"])
    (listed,) = Store(runs).runs()
    assert listed.summary == run.summary
    with pytest.raises(StoreError, match=run.run_id):
        _ = listed.outcomes

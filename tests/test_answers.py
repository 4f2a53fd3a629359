"""What runs keep of the model's answers: for every task, against predictions made anew from the saved adapter."""

import base64
import io
import itertools
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from PIL import Image

from neatlab.config import make_run, parse_arm
from neatlab.events import Evaluated, ExamplesChosen, Predicted, to_dict
from neatlab.experiments.execute import build, execute, make_task
from neatlab.experiments.trained import load_trained
from neatlab.runs.store import Store
from neatlab.tasks import TASKS
from neatlab.tasks.answers import MAX_EXAMPLES, class_names, confusions, pictures, sampled_rows, shortened
from neatlab.tasks.base import size
from neatlab.tasks.outcomes import Outcomes
from neatlab.training.loop import train
from tests.folders import bert_folder, llama_folder, root, vit_folder
from tests.task_texts import CASES

SHORT = {"steps": 6, "eval_every": 4, "spectrum_every": 6, "lr": 3e-2}
MAX_EVENT, MAX_EXAMPLES_EVENT = 2_500, 16_000  # bytes


def _sums() -> str:
    path = root() / "sums.json"
    path.write_text(json.dumps([{"q": f"{a} and {b}", "a": f"it is {a + b}"} for a in range(8) for b in range(5)]))
    return str(path)


def _numbers() -> str:
    path = root() / "numbers.csv"
    path.write_text("\n".join(["text,score", *(f"{'many' * (i % 4)} words {i},{i * 0.37}" for i in range(40))]))
    return str(path)


def _photographs() -> str:
    draw, folder = np.random.default_rng(0), root() / "photographs"
    for label in ("bright", "dark"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(30):
            noise = draw.integers(0, 128, (40, 50, 3)) + 127 * (label == "bright")
            Image.fromarray(noise.astype(np.uint8)).save(folder / label / f"{i}.png")
    return str(folder)


MORE = {  # what `custom` can be beside labels
    "answers": lambda: {"model": llama_folder(), "data": _sums(), "prompt": "{q}=", "label": "a"},
    "final answers": lambda: {
        "model": llama_folder(),
        "data": _sums(),
        "prompt": "{q}=",
        "label": "a",
        "metric": "final-answer",
        "max_answer": 4,
    },
    "plain text": lambda: {"model": llama_folder(), "data": _sums(), "prompt": "{q} {a}"},
    "numbers": lambda: {"model": bert_folder(), "data": _numbers(), "label": "score", "metric": "pearson"},
    "photographs": lambda: {"model": vit_folder(), "data": _photographs()},
}


@pytest.fixture(scope="module", params=[*TASKS, *MORE])
def run(request, tmp_path_factory):
    """A finished run of each task."""
    return finished(request.param, tmp_path_factory.getbasetemp() / "answers")


@cache
def finished(name: str, folder: Path):
    task, options = (name, CASES[name].options) if name in TASKS else ("custom", MORE[name]())
    config = make_run(task, parse_arm("neat:rank=2"), 0, options, SHORT)
    store = Store(folder)
    list(execute(config, store))
    return store.get(config.run_id)


def chosen(run):
    (event,) = [event for event in run.events if event["type"] == "ExamplesChosen"]
    return event


def predicted(run):
    return [event for event in run.events if event["type"] == "Predicted"]


def test_every_task_answers_when_it_is_evaluated_and_before_the_first_step(run):
    evaluated = [e["step"] for e in run.events if e["type"] == "Evaluated" and e["split"] == "validation"]
    assert [event["step"] for event in predicted(run)] == evaluated == [0, 4, 6]
    assert [e["type"] for e in run.events].index("ExamplesChosen") < run.events.index(predicted(run)[0])


def test_there_are_as_many_of_everything_as_there_are_examples(run):
    examples, task = chosen(run), make_task(run.config)
    count = min(MAX_EXAMPLES, size(task.split("validation")))
    assert len(examples["shown"]) == (0 if examples["inputs"] == "nothing" else count)
    assert len(examples["true"]) == (0 if examples["answers"] == "loss" else count)
    for event in predicted(run):
        assert len(event["values"]) == count
        assert {len(event[name]) for name in ("probability", "margin", "right")} <= {0, count}
        assert bool(event["right"]) == (examples["answers"] in ("class", "text"))


def test_an_event_is_small(run):
    assert len(orjson.dumps(chosen(run))) <= MAX_EXAMPLES_EVENT
    assert max(len(orjson.dumps(event)) for event in predicted(run)) <= MAX_EVENT


def test_answers_are_those_of_the_saved_adapter(run):
    task, model = make_task(run.config), load_trained(run).model
    kept = predicted(run)[-1]
    score = task.score(model, "validation")
    again = json.loads(orjson.dumps(vars(task.answers(model, score))))
    for name in ("probability", "margin"):
        assert kept[name] == pytest.approx(again[name], abs=2e-3)
    assert kept["right"] == again["right"]
    for one, other in zip(kept["values"], again["values"], strict=True):
        assert one == (other if isinstance(one, str) else pytest.approx(other, rel=1e-3, abs=1e-5))


def test_answers_are_what_the_metric_is_made_of(run):
    examples, kept, task = chosen(run), predicted(run)[-1], make_task(run.config)
    outcomes = task.score(load_trained(run).model, "validation").outcomes
    if outcomes is None:
        assert examples["answers"] in ("outputs", "loss")
        return
    rows = sampled_rows(len(outcomes))
    if examples["answers"] == "text":
        assert kept["right"] == [
            int(p == t) for t, p in zip(outcomes.true[rows], outcomes.predicted[rows], strict=True)
        ]
    else:
        assert examples["true"] == pytest.approx(outcomes.true[rows].tolist(), rel=1e-3)
        assert kept["values"] == pytest.approx(outcomes.predicted[rows].tolist(), rel=1e-3)


def test_a_text_is_right_if_it_is_the_true_one(run):
    examples = chosen(run)
    if examples["answers"] in ("text", "class"):
        for event in predicted(run):
            pairs = zip(event["values"], examples["true"], strict=True)
            assert event["right"] == [int(value == true) for value, true in pairs]


def test_confusions_are_those_of_the_whole_split(run):
    examples, task = chosen(run), make_task(run.config)
    for event in predicted(run):
        table = event["confusion"]
        assert bool(table) == (examples["answers"] == "class")
        assert sum(map(sum, table)) == (size(task.split("validation")) if table else 0)


def test_digits_are_shown_as_the_model_sees_them_and_the_base_answers_at_step_0(tmp_path_factory):
    run = finished("digits", tmp_path_factory.getbasetemp() / "answers")
    task = make_task(run.config)
    batch = task.sample()
    for code, pixels in zip(chosen(run)["shown"], batch["pixels"], strict=True):
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("L"))
        assert np.abs(image - (pixels[0].numpy() + 1) * 127.5).max() <= 1
    with torch.no_grad():
        shares = task.base_model().eval()(pixel_values=batch["pixels"]).logits.softmax(1)
    assert predicted(run)[0]["values"] == shares.argmax(1).tolist()
    assert predicted(run)[0]["probability"] == pytest.approx(shares.amax(1).tolist(), abs=2e-3)


def test_arithmetic_is_what_decoding_by_hand_writes_up_to_its_first_wrong_digit(tmp_path_factory):
    run = finished("arithmetic", tmp_path_factory.getbasetemp() / "answers")
    model = load_trained(run).model.eval()
    for problem, true, kept in zip(
        chosen(run)["shown"], chosen(run)["true"], predicted(run)[-1]["values"], strict=True
    ):
        first, sign, second, _ = problem.split()
        assert int(true) == int(first) - int(second)
        written = f"{first[::-1]}{sign}{second[::-1]}="
        for _ in range(4):
            tokens = torch.tensor([["0123456789+-=".index(character) for character in written]])
            with torch.no_grad():
                written += "0123456789+-="[model(input_ids=tokens).logits[0, -1].argmax()]
        answer, digits = written[-4:][::-1], len(kept.removeprefix("…"))
        assert answer.endswith(kept.removeprefix("…"))
        assert answer[5 - digits :] == true[5 - digits :]
        assert kept == true or answer[4 - digits] != true[4 - digits]
        assert kept.startswith("…") == (digits < 4)


def test_losses_of_plain_texts_average_to_the_split_loss(tmp_path_factory):
    run = finished("plain text", tmp_path_factory.getbasetemp() / "answers")
    task = make_task(run.config)
    counts = (task.sample()["label"][:, 1:] != -100).sum(1).tolist()
    mean = sum(map(math.prod, zip(predicted(run)[-1]["values"], counts, strict=True))) / sum(counts)
    assert size(task.sample()) == size(task.split("validation"))
    assert mean == pytest.approx(task.score(load_trained(run).model, "validation").loss, rel=1e-3)


@pytest.mark.parametrize("name", ["digits", "teacher", "arithmetic", "facts", "text"])
def test_answers_cost_less_than_a_hundredth_of_a_training(name):
    """Examples that pass the model, a backward pass counted as two; settings are the task's own."""
    task = make_task(make_run(name, parse_arm("lora:rank=2"), 0, CASES[name].options, {}))
    settings = {"batch_size": 16, "eval_every": 25, "steps": 100, **TASKS[name].training}
    model, passed = task.base_model(), []
    model.register_forward_hook(
        lambda _, args, named, result: passed.append(size({"x": (*args, *named.values())[0]})), with_kwargs=True
    )
    score = task.score(model, "validation")
    passed.clear()
    task.answers(model, score)
    between = settings["eval_every"] * settings["batch_size"] * 3 + size(task.split("validation"))
    assert 0 < sum(passed) <= 0.0105 * between


def test_a_search_keeps_none():
    config = make_run("teacher", parse_arm("lora:rank=2"), 0, CASES["teacher"].options, SHORT)
    task = make_task(config)
    seen = list(train(build(config, task), task, config.training, 0, test=False))
    assert any(isinstance(event, Evaluated) for event in seen)
    assert not any(isinstance(event, ExamplesChosen | Predicted) for event in seen)


def test_what_the_events_hold_is_read_back_as_it_was():
    event = Predicted(3, (1, "a", [0.5]), (0.25,), (), (1, 0), ((1, 2), (3, 4)))
    assert orjson.loads(orjson.dumps(to_dict(event)))["confusion"] == [[1, 2], [3, 4]]


def test_rows_are_spread_and_never_more_than_there_are():
    assert sampled_rows(5).tolist() == [0, 1, 2, 3, 4]
    rows = sampled_rows(1000).tolist()
    assert len({*rows}) == MAX_EXAMPLES
    assert rows[0] == 0
    assert {b - a for a, b in itertools.pairwise(rows)} <= {41, 42}
    assert sampled_rows(0).tolist() == []


def test_confusions_count_rows_as_true_and_leave_large_tables_out():
    outcomes = Outcomes.of([0, 0, 1, 2], [0, 1, 1, 0])
    assert confusions(outcomes, 3) == ((1, 1, 0), (0, 1, 0), (1, 0, 0))
    assert confusions(outcomes, 100) == confusions(None, 3) == ()


def test_long_texts_names_and_images_are_cut():
    assert shortened(["a\nb", "x" * 500]) == ("a b", "x" * 159 + "…")
    assert class_names(["y" * 60]) == ("y" * 40,)
    assert class_names(["y"] * 500) == ()
    (code,) = pictures(torch.zeros(1, 3, 224, 160))
    assert Image.open(io.BytesIO(base64.b64decode(code))).size == (23, 32)

"""One behaviour suite over TASKS, and what each task promises beyond it."""

import math
from functools import cache

import numpy as np
import pytest
import torch

from neatlab.adapters.attach import attach
from neatlab.adapters.methods import METHODS
from neatlab.config import make_run, parse_arm
from neatlab.errors import BadInput
from neatlab.events import Evaluated, RunFinished, RunStarted, Step
from neatlab.experiments.execute import build, make_task
from neatlab.runtime.cache import cached_tensors
from neatlab.tasks import TASKS, digits, teacher
from neatlab.tasks.base import size
from neatlab.training.loop import train
from tests.task_texts import CASES


def make(name, **options):
    row = TASKS[name]
    return row(row.options.parse({**CASES[name].options, **options}, name))


def run_config(name, arm, **training):
    case = CASES[name]
    return make_run(name, parse_arm(arm), 0, case.options, {**case.training, **training})


def trained(name, arm, **training):
    config = run_config(name, arm, **training)
    task = make_task(config)
    return list(train(build(config, task), task, config.training, config.seed))


@cache
def adapted(name, arm):
    """Events of the case's adaptation; each arm of a task is trained once."""
    return trained(name, arm)


def reached(name, arm):
    (found,) = [event.metric for event in adapted(name, arm) if isinstance(event, Evaluated) and event.split == "test"]
    return found


@pytest.fixture(params=TASKS)
def name(request):
    return request.param


def test_every_task_is_in_the_suite():
    assert set(TASKS) <= set(CASES)


def test_splits_are_fixed_and_share_nothing(name):
    task, again = make(name), make(name)
    seen = {}
    for split in ("train", "validation", "test"):
        batch, other = task.split(split), again.split(split)
        assert all(torch.equal(batch[column], other[column]) for column in batch)
        first = next(iter(batch.values())).flatten(1).numpy()
        seen[split] = {row.tobytes() for row in first}
        assert len(first) == size(batch) > 0
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


def test_base_models_are_equal_and_apart(name):
    task = make(name)
    one, two = task.base_model(), task.base_model()
    for (key, a), b in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    with torch.no_grad():
        next(one.parameters()).add_(1)
    assert not torch.equal(next(one.parameters()), next(two.parameters()))


def test_targets_and_head_exist(name):
    task = make(name)
    names = {module.split(".")[-1] for module, _ in task.base_model().named_modules()}
    assert {*task.targets, *task.head} <= names


def test_scoring_repeats_and_leaves_the_weights_alone(name):
    task = make(name)
    model = task.base_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert task.score(model, "validation") == task.score(model, "validation")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_an_untrained_adapter_scores_as_the_base_does(name):
    task = make(name)
    wrapped = attach(task.base_model(), "lora", METHODS["lora"].options(), task.targets, task.head)
    found, base = task.score(wrapped.model, "validation"), task.score(task.base_model(), "validation")
    assert found.loss == pytest.approx(base.loss, rel=1e-6)
    assert found.metric == pytest.approx(base.metric, rel=1e-6)


def test_another_seed_draws_other_data(name):
    one, other = make(name).split("train"), make(name, **CASES[name].other).split("train")
    assert any(
        one[column].shape != other[column].shape or not torch.equal(one[column], other[column]) for column in one
    )


def test_the_same_seed_trains_the_same(name):
    def losses():
        return [event.loss for event in trained(name, "neat:rank=2", steps=3) if isinstance(event, Step)]

    first = losses()
    assert first == losses()
    assert len(first) == 3
    assert all(map(math.isfinite, first))


@pytest.mark.parametrize("name", [name for name in TASKS if CASES[name].base is not None])
def test_the_base_knows_its_own_task_and_adaptation_tells_what_is_left(name):
    started, ended = adapted(name, "lora:rank=4")[0], adapted(name, "lora:rank=4")[-1]
    assert isinstance(started, RunStarted)
    assert isinstance(ended, RunFinished)
    assert started.base_metric >= CASES[name].base
    assert 0 <= ended.base_metric <= 1
    assert TASKS[name].base_metric is not None


@pytest.mark.parametrize("name", [name for name in TASKS if CASES[name].gain is not None])
def test_zero_shot_is_far_below_the_adapted(name):
    task = make(name)
    gained = reached(name, "lora:rank=4") - task.score(task.base_model(), "test").metric
    assert gained * (1 if task.metric.higher_is_better else -1) >= CASES[name].gain


@pytest.mark.parametrize("name", [name for name in TASKS if CASES[name].gain is None])
def test_a_stand_in_learns_what_it_is_shown(name):
    losses = [event.loss for event in trained(name, "lora:rank=4") if isinstance(event, Step)]
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize("name", [name for name in TASKS if CASES[name].gain is not None])
def test_head_only_is_below_lora_or_refused(name):
    if make(name).head:
        assert reached(name, "head") < reached(name, "lora:rank=4") - 0.1
    else:
        with pytest.raises(BadInput, match="nothing to train"):
            build(run_config(name, "head"), make(name))


def test_digits_adapters_reach_what_the_head_alone_does_not():
    assert min(reached("digits", arm) for arm in ("lora:rank=4", "neat:rank=4")) >= 0.78
    assert reached("digits", "head") < 0.65


def test_digits_base_reads_upright_and_not_turned():
    task = make("digits")
    model = task.base_model().eval()
    upright = digits._upright_splits(0)["test"]
    with torch.no_grad():
        found = model(pixel_values=upright["pixels"]).logits.argmax(1)
    assert (found == upright["label"]).float().mean() > 0.88
    assert task.score(model, "test").metric < 0.2
    assert 130_000 < sum(p.numel() for p in model.parameters()) < 145_000


def test_digits_are_turned_by_a_quarter_with_inverted_ink():
    image = torch.arange(4.0).view(1, 1, 2, 2)
    assert torch.equal(digits.turned(image), -torch.tensor(np.rot90(image[0, 0].numpy()).copy()).view(1, 1, 2, 2))


def test_what_digits_can_be_changed_to():
    whole = make("digits").split("train")
    upright = digits._upright_splits(0)["train"]["pixels"]
    changed = {change: make("digits", change=change).split("train")["pixels"] for change in digits.CHANGES}
    assert torch.equal(changed["inverted"], -upright)
    assert torch.equal(changed["turned"], -whole["pixels"])
    assert torch.equal(changed["shifted"][:, :, 2:, 2:], upright[:, :, :-2, :-2])
    noise = changed["noisy"] - whole["pixels"]
    assert changed["noisy"].abs().max() == 1 and 0.2 < noise.std() < digits.NOISE
    assert torch.equal(changed["noisy"], make("digits", change="noisy").split("train")["pixels"])


def test_what_of_digits_can_be_asked():
    whole, half = make("digits"), make("digits", digits="half")
    for split in ("train", "validation", "test"):
        label = whole.split(split)["label"]
        assert torch.equal(half.split(split)["label"], label[label < 5])
        assert torch.equal(make("digits", asked="parity").split(split)["label"], label % 2)
    few = make("digits", per_class=10)
    assert torch.bincount(few.split("train")["label"]).tolist() == [10] * 10
    assert torch.equal(few.split("test")["pixels"], whole.split("test")["pixels"])
    assert few.recipe() == whole.recipe() == half.recipe()


@pytest.mark.parametrize("kind", ["low-rank", "weight-aware", "full-rank"])
def test_teacher_knows_its_truth(kind):
    task = make("teacher", kind=kind, layers=2, rank=3)
    base, delta = task._truth
    values = torch.linalg.svdvals(delta)
    assert (values[:, 3] > 1e-3 if kind == "full-rank" else values[:, 3] < 1e-4).all()
    assert torch.allclose(delta.norm(dim=(1, 2)), base.norm(dim=(1, 2)))
    model = task.base_model()
    assert task.score(model, "test").metric == pytest.approx(1)
    with torch.no_grad():
        for parameter, change in zip(model.parameters(), delta, strict=True):
            parameter += change
    assert task.score(model, "test").metric == pytest.approx(0, abs=1e-5)
    examples = task.split("train")
    noise = (model(examples["x"]) - examples["y"]).std() / torch.einsum("ni,loi->nlo", examples["x"], delta).std()
    assert noise.item() == pytest.approx(0.1, rel=0.1)


def test_a_weight_aware_truth_is_neats_equation():
    task = make("teacher", kind="weight-aware", rank=2)
    _base, delta = task._truth
    hidden = torch.linalg.lstsq(delta[0].T.double(), torch.eye(24).double()).solution
    assert torch.linalg.matrix_rank(delta[0]) == 2
    assert hidden.shape == (12, 24)
    assert isinstance(task.base_model(), teacher.LinearStack)


def test_a_checkpoint_is_made_once_and_a_damaged_one_again(tmp_path, monkeypatch):
    monkeypatch.setenv("NEATLAB_CACHE", str(tmp_path))
    calls = []

    def train():
        calls.append(1)
        return {"w": torch.arange(3.0)}

    recipe = {"task": "toy", "steps": 3}
    for _ in range(2):
        assert torch.equal(cached_tensors(recipe, train)["w"], torch.arange(3.0))
    assert len(calls) == 1
    cached_tensors({"task": "toy", "steps": 4}, train)
    assert len(calls) == 2
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xff" * 20)
    with pytest.warns(UserWarning, match="damaged"):
        assert torch.equal(cached_tensors(recipe, train)["w"], torch.arange(3.0))
    assert len(calls) == 3
    assert {p.suffix for p in tmp_path.iterdir()} == {".safetensors"}

"""What a run stores of its weights: the adapter's own, exact when pooled, within its limit, never half read."""

import json
from itertools import pairwise

import numpy as np
import orjson
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neatlab.adapters.factors import Factors
from neatlab.adapters.methods import METHODS
from neatlab.analysis.pooling import pooled
from neatlab.config import make_arm, make_run
from neatlab.errors import StoreError
from neatlab.events import Step
from neatlab.experiments.execute import build, execute, make_task
from neatlab.experiments.trained import load_trained
from neatlab.runs.store import Store
from neatlab.runs.weights import HEADER, NUMBERS, read_weights
from neatlab.tasks import TASKS, TaskSpec
from neatlab.training import weights
from tests.task_texts import CASES

SMALL = {"rank": 2, "n_frequency": 20, "block_size": 4}
TEACHER = {"d_in": 120, "d_out": 12, "layers": 2, "samples": 60}
HALF = 2e-3  # of the largest entry: both factors are rounded to half precision


def config(method="neat", task=None, training=None, **options):
    names = METHODS[method].options.model_fields
    given = {name: size for name, size in SMALL.items() if name in names} | options
    settings = {"steps": 9, "batch_size": 16, "spectrum_every": 4, **(training or {})}
    return make_run("teacher", make_arm(method, given), 0, {**TEACHER, **(task or {})}, settings)


def trained(run, runs, **given):
    list(execute(run, Store(runs), **given))
    return read_weights(runs / run.run_id)


def dense(frame):
    """ΔW in float64; pooled where that is how it is stored."""
    return frame["delta"] if "delta" in frame else frame["left"].astype(float) @ frame["right"].astype(float)


def close(a, b, tolerance=HALF):
    return np.abs(np.asarray(a) - np.asarray(b)).max() <= tolerance * np.abs(b).max()


def block_means(matrix, cells=96):
    """Written out: the mean of each block."""
    edges = [[i * size // min(size, cells) for i in range(min(size, cells) + 1)] for size in matrix.shape]
    rows, columns = (list(pairwise(one)) for one in edges)
    return np.array([[matrix[a:b, c:d].mean() for c, d in columns] for a, b in rows])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_stores_what_it_trained(method, runs):
    if method == "head":
        return  # the teacher has none
    run = config(method)
    stored = trained(run, runs, is_film=True)
    adapted, task = load_trained(Store(runs).get(run.run_id)), make_task(run)
    deltas, true = adapted.deltas(), task.true_deltas()
    assert stored.layers == list(deltas)
    assert {0, 4, 8, 9} <= set(stored.steps.tolist())
    assert (stored.steps.tolist() == list(range(10))) == (stored.kinds[stored.layers[0]] != "dense")
    for name, delta in deltas.items():
        whole = (delta.dense() if isinstance(delta, Factors) else delta).double().numpy()
        last, base = stored.frame(stored.index_at(None), name), stored.base(name)
        assert close(dense(last) if "left" in last else last["delta"], whole if "left" in last else block_means(whole))
        assert close(base["weight"], block_means(adapted.layers[name].double().numpy()))
        assert close(base["true"], block_means(true[name].double().numpy()))
        assert close(base["true_sigma"], np.linalg.svd(true[name].numpy(), compute_uv=False), 1e-5)
        exact = np.linalg.svd(whole, compute_uv=False)[: len(last["sigma"])]
        assert close(last["sigma"], exact, 1e-4)
        assert np.abs(dense(stored.frame(0, name))).max() <= 1e-6


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"depth": 2}, "out"),
        ({"depth": 4, "activation": "gelu"}, "out"),
        ({"depth": 3, "residual": "none", "orientation": "in"}, "in"),
        ({"conditioning": "none", "orientation": "in"}, "in"),
    ],
)
def test_the_network_makes_the_factor(options, kind, runs):
    run = config("neat", rank=3, **options)
    stored, settings = trained(run, runs), run.arm.options
    name = stored.layers[0]
    last, weight = stored.frame(stored.index_at(None), name), make_task(run).base_model().layers[0][0].weight.detach()
    assert stored.kinds[name] == kind
    inner = [torch.tensor(last[f"inner{i}"]) for i in range(settings["depth"] - 2)]
    sigma = torch.nn.functional.gelu if settings["activation"] == "gelu" else torch.relu
    hidden = sigma(torch.tensor(last["before"]))
    front = hidden
    for theta in inner:
        hidden = sigma(theta @ hidden) + (front if settings["depth"] == 4 and theta is inner[-1] else 0)
    assert close(hidden, last["right"] if kind == "out" else last["left"].T, 5e-3)
    if settings["conditioning"] == "weight":
        mapped = weight.numpy() if kind == "out" else weight.numpy().T
        assert close(last["first"] @ mapped, last["before"])
    else:
        assert "first" not in last


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(1, 12), st.integers(1, 12), st.integers(0, 9)
)
def test_the_pooled_product_is_the_product_of_pooled_factors(m, n, r, rows, columns, seed):
    draw = np.random.default_rng(seed)
    left, right = draw.normal(size=(m, r)), draw.normal(size=(r, n))
    thin = pooled(left, rows, r) @ pooled(right, r, columns)
    assert thin.shape == (min(m, rows), min(n, columns))
    assert np.allclose(thin, pooled(left @ right, rows, columns))
    if rows == columns:
        assert np.allclose(thin, block_means(left @ right, rows))


def test_the_singular_values_are_those_of_the_events_and_these_are_no_more_than_without(runs):
    run = config("neat")
    stored = trained(run, runs, is_film=True)
    events = Store(runs).get(run.run_id).events
    measured = [event for event in events if event["type"] == "SpectrumMeasured"]
    assert [event["step"] for event in measured[::2]] == [0, 4, 8, 9]
    for event in measured:
        assert close(stored.sigma(stored.index_at(event["step"]))[event["layer"]], event["singular_values"], 1e-6)
    again = Store(runs.with_name("plain"))
    list(execute(run, again))
    assert [event["type"] for event in again.get(run.run_id).events] == [event["type"] for event in events]


def test_without_a_viewer_only_the_steps_of_the_spectra_are_stored(runs):
    assert trained(config(), runs).steps.tolist() == [0, 4, 8, 9]


def test_a_long_film_has_few_frames(runs):
    film = weights.plan_film(*built(config(training={"steps": 100_000})), True)
    assert len(film.steps) <= weights.FRAMES + 2 and film.every % 4 == 0


def built(run):
    task = make_task(run)
    return build(run, task), task, run.training


def test_a_tuning_run_stores_none(runs):
    run = config()
    run = run.model_copy(update={"purpose": "tune"})
    assert trained(run, runs) is None


@pytest.mark.parametrize(
    ("frames", "layers", "steps", "said"),
    [
        (10, ["layers.0.linear", "layers.1.linear"], [*range(10)], None),
        (9.9, ["layers.0.linear", "layers.1.linear"], [0, 2, 4, 6, 8, 9], "those of every 2 steps fit"),
        (5, ["layers.0.linear", "layers.1.linear"], [0, 4, 8, 9], "those of every 4 steps fit"),
        (2, ["layers.0.linear", "layers.1.linear"], [0, 9], "those of every 16 steps fit"),
        (1, ["layers.0.linear"], [0, 2, 4, 6, 8, 9], "those of 1 of 2 layers fit"),
        (-1e6, [], [*range(10)], "those of none of 2 layers fit"),
    ],
)
def test_what_does_not_fit_is_left_out_and_said(frames, layers, steps, said, runs, monkeypatch):
    run = config()
    begun = weights.plan_film(*built(run), True).begun
    room = max(0, begun.base_bytes + int(frames * begun.step_bytes))
    monkeypatch.setattr(weights, "MAX_BYTES", room)
    stored = trained(run, runs, is_film=True)
    assert (stored.layers, stored.steps.tolist()) == (layers, steps)
    assert said in stored.note if said else stored.note == ""
    if layers:
        frame_starts = 16 + 4 * len(steps)
        assert (runs / run.run_id / NUMBERS).stat().st_size - frame_starts <= room


def test_an_interrupted_run_stores_what_the_whole_one_does(tmp_path):
    run = config(training={"save_every": 2})
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    list(execute(run, whole, is_film=True))
    events = execute(run, broken, is_film=True)
    for event in events:
        if isinstance(event, Step) and event.step == 6:
            events.close()
            break
    assert read_weights(broken.root / run.run_id).steps.tolist() == [0, 1, 2, 3, 4, 5]
    list(execute(run, broken, is_film=True))
    assert numbers(whole, run) == numbers(broken, run)


def numbers(store, run):
    return (store.root / run.run_id / NUMBERS).read_bytes()[16:]


@pytest.fixture
def folder(runs):
    run = config()
    trained(run, runs)
    return runs / run.run_id


def test_a_torn_frame_is_not_read(folder):
    before = read_weights(folder)
    with open(folder / NUMBERS, "rb+") as file:
        file.truncate((folder / NUMBERS).stat().st_size - 1)
    assert read_weights(folder).steps.tolist() == before.steps.tolist()[:-1]


def test_an_older_run_has_none(folder):
    (folder / HEADER).unlink()
    assert read_weights(folder) is None


@pytest.mark.parametrize(
    "change",
    [
        {"mark": "00" * 16},
        {"version": 2},
        {"layers": [{"name": "a"}]},
        {"layers": [{"name": "a", "shape": [1, 1], "kind": "odd", "base": {}, "parts": {}}]},
        {"layers": [{"name": "a", "shape": [1, 1], "kind": "out", "base": {}, "parts": {"left": [2**40, 2**40]}}]},
        {"layers": [{"name": "a", "shape": [1, 1], "kind": "out", "base": {}, "parts": {"left": [-1]}}]},
        {"layers": "a"},
        {"layers": None},
    ],
)
def test_a_damaged_file_is_named(folder, change):
    header = json.loads((folder / HEADER).read_text())
    (folder / HEADER).write_bytes(orjson.dumps(header | change))
    with pytest.raises(StoreError, match=NUMBERS):
        read_weights(folder)


def test_numbers_that_are_gone_are_named(folder):
    (folder / NUMBERS).unlink()
    with pytest.raises(StoreError, match=NUMBERS):
        read_weights(folder)


@pytest.mark.parametrize("task", TASKS)
def test_the_first_layers_shape_is_known_without_the_model(task):
    spec = TaskSpec(task, CASES[task].options)
    shape = spec.row.layer_shape(spec.row.options.parse(spec.options, task))
    if shape is not None:
        model = spec.load().base_model()
        weight = next(m.weight for name, m in model.named_modules() if name.split(".")[-1] in spec.row.targets)
        assert shape == tuple(weight.shape)
    assert (shape is None) == (task in ("custom", "text", "sentiment", "banking77", "clinc150", "chat"))

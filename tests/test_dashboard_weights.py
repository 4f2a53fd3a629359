"""The weights panel's numbers: those of the store, pooled, in so many bytes and no more."""

import base64

import numpy as np
import orjson
import pytest

from neatlab.adapters.methods import METHODS
from neatlab.analysis.pooling import pooled
from neatlab.dashboard.train.charts import spectrum, weights
from neatlab.dashboard.train.charts.base import Drawing
from neatlab.dashboard.train.charts.weights_data import MAX_BYTES, ArmWeights, LayerWeights, cosine
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.snapshot import ViewState, read_runs
from neatlab.experiments.execute import execute
from neatlab.runs.store import Store
from neatlab.runs.weights import HEADER, read_weights
from tests.test_weights import config, dense

LAYER = "layers.0.linear"
FINE, COARSE = 1e-4, 5e-3  # of the largest entry: rounded to 16 and to 8 bits, after half precision


def decoded(matrix):
    """As the page reads it."""
    kind = np.int16 if matrix["bits"] == 16 else np.int8
    numbers = np.frombuffer(base64.b64decode(matrix["data"]), kind).reshape(matrix["cells"])
    return numbers * (matrix["largest"] / np.iinfo(kind).max)


def drawing(runs, *configs, at=None, arm=None):
    snapshot = read_runs(configs, Feed(runs))
    return Drawing(snapshot, ViewState(None, at, arm), snapshot.results.spectra)


def close(a, b, tolerance):
    return np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-12)


def random_arm(d_out, d_in, rank, seed):
    draws = np.random.default_rng(seed)
    left, right = draws.normal(size=(d_out, rank)), draws.normal(size=(rank, d_in))
    parts = {"left": left, "right": right, "before": right, "first": draws.normal(size=(rank, d_out))}
    sigma = np.linalg.svd(np.linalg.qr(left)[1] @ np.linalg.qr(right.T)[1].T, compute_uv=False)
    return ArmWeights(f"arm {seed}", "#000000", "out", 7, {**parts, "sigma": sigma})


@pytest.mark.parametrize("method", [name for name in METHODS if name != "head"])  # which changes no layer
@pytest.mark.parametrize("at", [None, 4])
def test_what_the_page_draws_is_what_the_run_stored(tmp_path, method, at):
    run = config(method)
    list(execute(run, Store(tmp_path), is_film=True))
    stored = read_weights(tmp_path / run.run_id)
    made = weights.layer_weights(drawing(tmp_path, run, at=at)).encoded("")
    frame = stored.frame(stored.index_at(at), LAYER)
    (arm,) = made["arms"]
    maps = {name: decoded(matrix) for name, matrix in arm["maps"].items()}
    delta = maps["delta"] if "delta" in maps else maps["left"] @ maps["right"]
    assert arm["step"] == (9 if at is None else at)
    assert close(delta, pooled(dense(frame)), COARSE if "delta" in maps else 20 * FINE)
    assert close(decoded(made["weight"]), pooled(stored.base(LAYER)["weight"]), COARSE)
    assert arm["sigma"] == pytest.approx(frame["sigma"][:8].tolist(), rel=1e-4, abs=1e-9)


def test_a_large_layer_of_four_arms_stays_within_its_bytes():
    arms = [random_arm(1024, 2816, 64, seed) for seed in range(4)]
    made = LayerWeights("large", (1024, 2816), {"weight": np.ones((96, 96))}, arms, (0, 1)).encoded("words")
    assert len(orjson.dumps(made)) <= MAX_BYTES
    rows, columns = made["cells"]
    expected = pooled(arms[2].parts["left"] @ arms[2].parts["right"], rows, columns)
    assert close(decoded(made["arms"][2]["maps"]["delta"]), expected, COARSE)


def test_directions_are_the_singular_vectors_of_the_product():
    arm = random_arm(40, 30, 5, 1)
    u, v = arm.directions
    left, right = arm.factors
    np.testing.assert_allclose(u * arm.parts["sigma"] @ v, left @ right, atol=1e-9)


def test_the_cosine_is_that_of_the_dense_updates():
    a, b = random_arm(20, 30, 3, 1), random_arm(20, 30, 3, 2)
    first, second = dense(a.parts).ravel(), dense(b.parts).ravel()
    assert cosine(a, b) == pytest.approx(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def test_the_chosen_arm_is_compared_with_the_first_other_one(tmp_path):
    runs = [config("lora"), config("neat")]
    for run in runs:
        list(execute(run, Store(tmp_path), is_film=True))
    compared = weights.layer_weights(drawing(tmp_path, *runs, arm=runs[0].arm.label)).compared
    assert compared == (1, 0)


def test_the_spectrum_has_every_stored_step_and_the_one_to_be_learnt(tmp_path):
    run = config("neat")
    list(execute(run, Store(tmp_path), is_film=True))
    seen = drawing(tmp_path, run, at=7)  # spectra are measured after steps 0, 4, 8 and 9
    stored = read_weights(tmp_path / run.run_id)
    figure = orjson.loads(spectrum.CHART.draw(seen))["figure"]
    line, goal = (
        next(t for t in figure["data"] if t.get("name") == name) for name in (_name(seen), "ΔW*, to be learnt")
    )
    np.testing.assert_allclose(line["y"], stored.spectra(LAYER)[stored.index_at(7)], rtol=1e-6)
    np.testing.assert_allclose(goal["y"], stored.base(LAYER)["true_sigma"][:4], rtol=1e-6)
    assert sum(trace.get("hoverinfo") == "skip" for trace in figure["data"]) == spectrum.TRAILS


def test_damaged_and_older_weights_leave_the_measured_spectra(tmp_path):
    run = config("neat")
    list(execute(run, Store(tmp_path)))
    header = tmp_path / run.run_id / HEADER
    header.write_text("{}")
    assert set(spectrum.spectra(drawing(tmp_path, run))["step"]) == {0, 4, 8, 9}
    assert "damaged" in weights.CHART.draw(drawing(tmp_path, run))
    header.unlink()
    assert "an older version" in weights.CHART.draw(drawing(tmp_path, run))


def _name(seen):
    return next(line.look.name for line in spectrum.plots.spectrum_data(seen.spectra, arms=seen.runs.arms).spectra)

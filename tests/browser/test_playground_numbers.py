"""The playground's own training, held against the lab's: the same numbers go in, the same come out."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from neatlab.adapters.activations import ACTIVATIONS
from neatlab.adapters.methods import METHODS
from neatlab.tasks.teacher import TeacherOptions
from tests.browser.playground import MEASURE, Case, open_modules

pytestmark = pytest.mark.browser
KINDS = ("low-rank", "weight-aware", "full-rank")
SHAPES = ({"d_in": 20, "d_out": 9}, {"d_in": 7, "d_out": 16})
DEPTHS, NAMES = range(2, 7), ("relu", "gelu", "tanh", "sin", "linear")
CLOSE = {"rtol": 1e-5, "atol": 1e-7}


def cases() -> list[Case]:
    """Every depth with every activation; kinds, shapes, orientations, residuals and scalings take turns."""
    turns = itertools.count()

    def task() -> dict[str, Any]:
        turn = next(turns)
        return {"kind": KINDS[turn % 3], "rank": 3, "samples": 40, **SHAPES[turn % 2]}

    loras = [Case("lora", {"rank": 1 + i}, task()) for i in range(3)]
    return loras + [Case("neat", neat_options(turn), task()) for turn in range(30)]


def neat_options(turn: int) -> dict[str, Any]:
    """The first 25 turns are all depths with all activations, with skips where there are any; five more have none."""
    depth, name = [*itertools.product(DEPTHS, NAMES), *zip((4, 6, 4, 6, 4), NAMES, strict=True)][turn]
    return {
        "rank": 2 + turn % 4,
        "depth": depth,
        "activation": name,
        "residual": "none" if depth % 2 or turn >= 25 else "paired",
        "orientation": ("out", "in", "auto")[turn % 3],
        "scaling": (1.0, 0.5)[turn // 3 % 2],
    }


@pytest.fixture(scope="module")
def modules(same_page: Page) -> Page:
    open_modules(same_page)
    return same_page


def test_start_gradients_twenty_steps_and_spectra_are_the_labs(modules: Page) -> None:
    all_cases = cases()
    given, expected = zip(*(case.numbers() for case in all_cases), strict=True)
    measured = modules.evaluate(MEASURE, given)
    for case, playground, lab in zip(all_cases, measured, expected, strict=True):
        for place, values in lab.items():
            for name, value in values.items():
                where = f"{case}, {place}: {name}"
                assert_close(playground[place][name], value, where)
    seen = {(c.options.get("depth"), c.options.get("activation")) for c in all_cases}
    assert seen >= set(itertools.product(DEPTHS, NAMES))
    assert {(c.method, c.task["kind"]) for c in all_cases} == set(itertools.product(("lora", "neat"), KINDS))


def assert_close(ours: Any, theirs: Any, where: str) -> None:
    if isinstance(theirs, float):
        np.testing.assert_allclose(math.nan if ours is None else ours, theirs, **CLOSE, err_msg=where)
    elif isinstance(theirs[0], float):
        np.testing.assert_allclose(ours, theirs, **CLOSE, err_msg=where)
    else:
        assert len(ours) == len(theirs), where
        for mine, other in zip(ours, theirs, strict=True):
            assert_close(mine, other, where)


DRAWN = """async ([method, options, rows, columns]) => {
  const [{ makeArm }, { filled }] = [await import("/training.js"), await import("/matrix.js")];
  const { randomStream } = await import("/random.js");
  const weight = filled(rows, columns, randomStream(1, 1));
  const { adapter } = makeArm(method, { ...options, rate: 1 }, weight, randomStream(0, 9));
  return adapter.parameters.map(({ rows, columns, values }) => ({ rows, columns, values: [...values] }));
}"""


@pytest.mark.parametrize("method", ["lora", "neat"])
def test_parameters_start_as_the_labs_do(modules: Page, method: str) -> None:
    options = {"rank": 8} if method == "lora" else {**neat_options(2), "rank": 8, "depth": 4, "orientation": "out"}
    *drawn, last = modules.evaluate(DRAWN, [method, options, 300, 500])
    _, _, parameters = Case(method, options, {"d_in": 500, "d_out": 300, "samples": 2}).made()
    assert not any(last["values"])
    assert not torch.any(parameters[-1])
    for ours, theirs in zip(drawn, parameters[:-1], strict=True):
        assert (ours["rows"], ours["columns"]) == theirs.shape
        bound, values = theirs.shape[1] ** -0.5, np.array(ours["values"])
        assert np.abs(values).max() <= bound
        assert abs(theirs).max() <= bound
        assert values.std() == pytest.approx(bound / 3**0.5, rel=0.2)
        assert abs(values.mean()) < bound / 2


TASK = """async (options) => {
  const { makeTeacher } = await import("/teacher.js");
  const { weight, delta, spectrum, data } = makeTeacher(options);
  const { x, change } = data();
  const list = ({ rows, columns, values }) => ({ shape: [rows, columns], values: [...values] });
  return { weight: list(weight), delta: list(delta), x: list(x), change: list(change), sigma: spectrum.sigma };
}"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("d_in", "d_out"), [(40, 24), (24, 40)])
def test_the_task_is_the_labs_teacher(modules: Page, kind: str, d_in: int, d_out: int) -> None:
    TeacherOptions(kind=kind)
    options = {"kind": kind, "dIn": d_in, "dOut": d_out, "truth": 3, "noise": 0.5, "examples": 600, "seed": 4}
    made = modules.evaluate(TASK, options)
    weight, delta, x, change = (
        np.array(made[n]["values"]).reshape(made[n]["shape"]) for n in ("weight", "delta", "x", "change")
    )
    assert weight.shape == delta.shape == (d_out, d_in)
    assert weight.std() == pytest.approx(d_in**-0.5, rel=0.1)
    assert np.linalg.norm(delta) == pytest.approx(np.linalg.norm(weight))
    values = np.linalg.svd(delta, compute_uv=False)
    np.testing.assert_allclose(np.pad(made["sigma"], (0, len(values) - len(made["sigma"]))), values, atol=1e-10)
    assert np.sum(values > 1e-9) == (min(d_in, d_out) if kind == "full-rank" else 3)
    noise = change - x @ delta.T
    assert noise.std() / (x @ delta.T).std() == pytest.approx(0.5, rel=0.05)
    if kind == "weight-aware":  # ΔW* = Θᵀ relu(ΘᵀW₀): its right factor has no negative entry
        right = np.linalg.svd(delta)[2][:3]
        assert np.linalg.matrix_rank(right) == 3


FUNCTIONS = """async (xs) => {
  const { ACTIVATIONS } = await import("/activations.js");
  const both = ({ value, slope }) => ({ value: xs.map(value), slope: xs.map(slope) });
  return Object.fromEntries(Object.entries(ACTIVATIONS).map(([name, row]) => [name, both(row)]));
}"""


def test_activations_are_the_labs_far_out_too(modules: Page) -> None:
    xs = np.concatenate([np.linspace(-9, 9, 361), [-40.0, 40.0]])
    measured = modules.evaluate(FUNCTIONS, xs.tolist())
    assert set(measured) == set(NAMES)
    for name, row in measured.items():
        np.testing.assert_allclose(row["value"], ACTIVATIONS[name].values(xs), rtol=1e-9, atol=1e-13, err_msg=name)
        step = 1e-6
        slope = (ACTIVATIONS[name].values(xs + step) - ACTIVATIONS[name].values(xs - step)) / (2 * step)
        near = np.abs(xs) > step  # relu bends at 0
        np.testing.assert_allclose(np.array(row["slope"])[near], slope[near], atol=1e-8, err_msg=name)


def test_every_method_of_the_playground_is_the_labs(modules: Page) -> None:
    assert set(modules.evaluate("async () => Object.keys((await import('/training.js')).METHODS)")) <= set(METHODS)

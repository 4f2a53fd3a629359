"""The Hessian's largest eigenvalue at a run's start, against the whole Hessian as torch.func builds it."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from neatlab import compare, plots
from neatlab.adapters.attach import attach
from neatlab.adapters.methods import METHODS
from neatlab.analysis.sharpness import ADAM_EPSILON, RATE_FACTOR, Curvature, largest_eigenvalue, suggested_rate
from neatlab.config import make_run, parse_arm
from neatlab.experiments.execute import build, make_task
from neatlab.runs.comparison import Comparison
from neatlab.runs.frames import CURVATURE
from neatlab.tasks import TASKS
from neatlab.training import loop
from neatlab.training.curvature import Start, curvature, measured_start
from tests.models import MODELS
from tests.test_neat import D_IN, D_OUT, Net

ARMS = {
    "lora": ("lora", {"rank": 3}),
    "neat out": ("neat", {"rank": 3, "depth": 2, "orientation": "out"}),
    "neat in": ("neat", {"rank": 3, "depth": 2, "orientation": "in"}),
    "deep neat out": ("neat", {"rank": 3, "depth": 4, "orientation": "out", "activation": "tanh"}),
    "deep neat in": ("neat", {"rank": 3, "depth": 4, "orientation": "in", "activation": "tanh"}),
    "neat without conditioning": ("neat", {"rank": 3, "conditioning": "none"}),
}
EXACT = {"products": 400, "tolerance": 1e-9}


def model_and_losses(arm, filled, layer=nn.Linear):
    """An adapted net in double precision, its adapter's parameters, and the losses of three batches."""
    torch.manual_seed(1)
    method, options = ARMS[arm]
    net = Net(layer(D_OUT, D_IN) if layer is Conv1D else layer(D_IN, D_OUT)).double()
    adapted = attach(net, method, METHODS[method].options(**options), ["lin"], ["head"])
    adapted.model.double()
    if filled:
        for parameter in adapted.adapter_parameters():
            parameter.data.normal_(0, 0.3)
    batches = [(torch.randn(8, D_IN, dtype=torch.double), torch.randint(3, (8,))) for _ in range(3)]
    losses = [lambda x=x, y=y: F.cross_entropy(adapted.model(x), y) for x, y in batches]
    return adapted, batches, losses


def whole(adapted, batches):
    """Gradients (batches × n) and mean Hessian (n × n) over the adapter's parameters, by torch.func."""
    trained = {id(p) for p in adapted.adapter_parameters()}
    named = {name: p.detach() for name, p in adapted.model.named_parameters() if id(p) in trained}
    vector = torch.cat([p.reshape(-1) for p in named.values()])

    def loss(vector, x, y):
        parts = vector.split([p.numel() for p in named.values()])
        given = {name: part.view_as(p) for part, (name, p) in zip(parts, named.items(), strict=True)}
        return F.cross_entropy(torch.func.functional_call(adapted.model, given, (x,)), y)

    gradients = torch.stack([torch.func.grad(loss)(vector, *batch) for batch in batches])
    hessians = torch.stack([torch.func.hessian(loss)(vector, *batch) for batch in batches])
    return gradients.detach(), hessians.detach().mean(0)


@pytest.mark.parametrize("filled", [False, True], ids=["at the start", "trained"])
@pytest.mark.parametrize("arm", ARMS)
def test_it_is_the_largest_eigenvalue_of_the_whole_hessian(arm, filled):
    adapted, batches, losses = model_and_losses(arm, filled)
    gradients, hessian = whole(adapted, batches)
    curvature = Curvature(losses, adapted.adapter_parameters())
    largest = float(torch.linalg.eigvalsh(hessian)[-1])
    assert curvature.sharpness(**EXACT) == pytest.approx(largest, rel=1e-6)
    assert curvature.sharpness() == pytest.approx(largest, rel=0.1)
    moved = (gradients != 0).any(0)
    scale = moved / (gradients.square().mean(0).sqrt() + ADAM_EPSILON).sqrt()
    preconditioned = float(torch.linalg.eigvalsh(scale[:, None] * hessian * scale)[-1])
    assert curvature.preconditioned(**EXACT) == pytest.approx(preconditioned, rel=1e-6)
    sign = gradients.mean(0).sign()
    bend = float(sign @ hessian @ sign)
    rate = float(gradients.mean(0).abs().sum()) / bend if bend > 0 else math.nan
    assert curvature.greedy_rate() == pytest.approx(rate, nan_ok=True)


def test_a_layer_that_keeps_its_weight_the_other_way_round():
    adapted, batches, losses = model_and_losses("neat out", True, Conv1D)
    _, hessian = whole(adapted, batches)
    curvature = Curvature(losses, adapted.adapter_parameters())
    assert curvature.sharpness(**EXACT) == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-6)


def test_at_the_start_there_are_negative_eigenvalues_nearly_as_large():
    """Why not power iteration: it would report the largest in absolute value."""
    adapted, batches, _ = model_and_losses("lora", False)
    values = torch.linalg.eigvalsh(whole(adapted, batches)[1])
    assert values[0] < -0.1 * values[-1]


@pytest.mark.parametrize("name", MODELS)
def test_products_are_differences_of_gradients_where_there_is_attention(name):
    tiny = MODELS[name]
    model = tiny.build().double()
    batch = {key: value.double() if value.is_floating_point() else value for key, value in tiny.batch.items()}
    options = METHODS["neat"].options(rank=2, depth=4, activation="tanh")
    adapted = attach(model, "neat", options, tiny.targets, tiny.head)
    parameters = adapted.adapter_parameters()
    adapted.model.double().eval()
    for parameter in parameters:
        parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    direction = [torch.randn(p.shape, generator=torch.Generator().manual_seed(1)).double() for p in parameters]

    def gradient(step):
        for parameter, part in zip(parameters, direction, strict=True):
            parameter.data.add_(part, alpha=step)
        adapted.model.train().eval()  # an edit through `.data`: forget what layers keep
        grads = torch.autograd.grad(adapted.model(**batch).loss, parameters)
        for parameter, part in zip(parameters, direction, strict=True):
            parameter.data.sub_(part, alpha=step)
        return torch.cat([g.reshape(-1) for g in grads])

    expected = (gradient(1e-3) - gradient(-1e-3)) / 2e-3  # not a smaller step: Llama's norms compute in float32
    adapted.model.train().eval()
    product = Curvature([lambda: adapted.model(**batch).loss], parameters).product
    found = product(torch.cat([part.reshape(-1) for part in direction]))
    assert (found - expected).norm() < 1e-3 * expected.norm()


def test_what_is_measured_is_left_as_it_was():
    adapted, _, losses = model_and_losses("neat out", False)
    noisy = [lambda: F.dropout(torch.ones(4, dtype=torch.double)).sum() * losses[0]()]
    state, values = torch.get_rng_state(), [p.clone() for p in adapted.model.parameters()]
    first, again = (Curvature(noisy, adapted.adapter_parameters(), seed=3).sharpness() for _ in range(2))
    assert first == again
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in adapted.model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(values, adapted.model.parameters(), strict=True))


def test_a_loss_without_curvature_or_without_numbers():
    weight = nn.Parameter(torch.ones(3))
    flat = Curvature([lambda: 2 * weight.sum()], [weight])
    assert flat.sharpness() == 0
    assert flat.preconditioned() == 0
    assert math.isnan(flat.greedy_rate())
    broken = Curvature([lambda: (weight**2).sum() * math.nan], [weight])
    assert math.isnan(broken.sharpness())
    resting = Curvature([lambda: ((weight - 1) ** 2).sum()], [weight])
    assert resting.sharpness() == pytest.approx(2)
    assert math.isnan(resting.preconditioned())  # no gradient: Adam moves nothing


@pytest.mark.parametrize("values", [[3.0, 3.0, 1.0], [-5.0, 1.0, 2.0], [-4.0, -3.0, -1.0], [7.0]])
def test_of_known_eigenvalues_the_largest_is_given_not_the_largest_in_size(values):
    basis, _ = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.double))
    matrix = basis @ torch.tensor(values, dtype=torch.double).diag() @ basis.T
    start = torch.randn(len(values), dtype=torch.double)
    assert largest_eigenvalue(lambda v: matrix @ v, start, 10, 1e-9) == pytest.approx(max(values))


@pytest.mark.parametrize(("sharpness", "rate"), [(4.0, RATE_FACTOR / 2), (0.0, math.nan), (-1.0, math.nan)])
def test_the_suggested_rate_falls_with_the_root_of_it(sharpness, rate):
    assert suggested_rate(sharpness) == pytest.approx(rate, nan_ok=True)
    assert math.isnan(suggested_rate(math.nan))


SMALL = "teacher:d_in=12,d_out=12,layers=1"


def a_run(**training):
    """A tuning run, its task and a model for it."""
    run = make_run("teacher", parse_arm("neat:rank=2"), 7, {"d_in": 12, "d_out": 12}, {"steps": 3, **training}, "tune")
    task = make_task(run)
    return run, task, build(run, task)


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """A comparison whose rates were searched for."""
    return compare(
        SMALL, ["lora:rank=2", "neat:rank=2"], seeds=1, steps=5, lr="auto", runs=tmp_path_factory.mktemp("r")
    )


def test_a_search_measures_it_at_each_arms_start_and_reported_runs_do_not(search):
    frame = search.search_frame()
    own = frame[frame["variant"].isin(["lora:rank=2", "neat:rank=2,depth=2"])]
    measured = own[own["sharpness"].notna()]
    assert measured["arm"].tolist() == [
        "lora:rank=2",
        "neat:rank=2,depth=2",
    ]  # once: the start is the same at each rate
    assert set(measured["lr"]) == {TASKS["teacher"].training["lr"]}
    expected = [RATE_FACTOR / value**0.5 for value in measured["sharpness"]]
    assert measured["suggested_lr"].tolist() == pytest.approx(expected)
    assert "sharpness" not in search.frame()


def test_the_suggested_rate_is_marked_beside_the_curve(search):
    data = plots.rate_data(search)
    frame = search.search_frame().dropna(subset="suggested_lr").drop_duplicates("arm")
    assert [mark.lr for mark in data.suggested] == frame["suggested_lr"].tolist()
    assert [mark.arm for mark in data.suggested] == [line.arm for line in data.curves]
    shapes = plots.rates(search).layout.shapes
    assert [shape.x0 for shape in shapes] == frame["suggested_lr"].tolist()


def test_runs_from_before_it_was_measured_have_no_mark(search):
    without = [{k: v for k, v in run.summary.items() if k not in CURVATURE} for run in search.search]
    pairs = zip(search.search, without, strict=True)
    old = Comparison(search.runs, [dataclasses.replace(run, summary=summary) for run, summary in pairs])
    assert old.search_frame()[["sharpness", "suggested_lr"]].isna().all(axis=None)
    assert plots.rate_data(old).suggested == []
    assert plots.rate_data(old.search_frame().drop(columns="suggested_lr")).suggested == []


def test_measuring_changes_nothing_in_the_run(monkeypatch):
    def losses():
        run, task, adapted = a_run()
        events = [*loop.train(adapted, task, run.training, run.seed, test=False, measure_start=True)]
        return events[0].sharpness, [event.loss for event in events if isinstance(event, loop.Step | loop.Evaluated)]

    measured, with_it = losses()
    monkeypatch.setattr(loop, "measured_start", lambda *_: Start())
    unmeasured, without = losses()
    assert measured > 0
    assert unmeasured is None
    assert with_it == without


def test_it_is_that_of_the_runs_first_batches():
    run, task, adapted = a_run(batch_size=16)
    seen = []
    task.loss = lambda model, batch: seen.append(batch["x"]) or nn.functional.mse_loss(model(batch["x"]), batch["y"])
    curvature(adapted, task, run.training, run.seed)
    first = loop.shuffled_batches(task.split("train"), 16, run.seed)
    assert all(torch.equal(x, batch["x"]) for x, batch in zip(seen, first, strict=False))
    assert len(seen) > 1


class OnlyOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return grad


@pytest.mark.parametrize("training", [{"accumulate": 2}, {}], ids=["memory is short", "no second derivative"])
def test_where_it_cannot_be_measured_a_run_goes_without(training):
    run, task, adapted = a_run(**training)
    if not training:
        task.loss = lambda model, batch: OnlyOnce.apply(model(batch["x"])).square()
    assert measured_start(adapted, task, run.training, run.seed) == Start()

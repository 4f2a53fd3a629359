"""The Understand tab without a browser: its numbers against built layers, its construction, its cards."""

import re
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import orjson
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers.activations import ACT2FN

from neatlab import plots
from neatlab.adapters.activations import ACTIVATIONS, COMPARED
from neatlab.adapters.neat import NeatConfig
from neatlab.adapters.neat.hidden import LAB_ACTIVATIONS
from neatlab.dashboard.links import Link
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.jobs import Jobs
from neatlab.dashboard.shared.links import write
from neatlab.dashboard.shared.presets import PRESETS
from neatlab.dashboard.train.form import arm_fields
from neatlab.dashboard.understand import worker as understand_worker
from neatlab.dashboard.understand.cards import CARDS, measured_rank, revealed
from neatlab.dashboard.understand.equations import side_by_side, written_out
from neatlab.dashboard.understand.request import ContainsOrder, Layer, LayerSizes, Side
from neatlab.dashboard.understand.shapes import DIALS, Dial, keep_sizes
from neatlab.dashboard.understand.steps import STEPS, drawn_steps, stepped
from neatlab.dashboard.understand.tab import UnderstandTab, _size
from neatlab.dashboard.understand.words import HINTS, construction, hints
from neatlab.errors import BadInput
from neatlab.runs.store import Store
from tests.awaiting import awaited

TEACHER = "teacher:kind=weight-aware"


def trained(config: Any, d_in: int, d_out: int) -> int:
    model = get_peft_model(nn.Sequential(nn.Linear(d_in, d_out)), config)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("shape", [(48, 16), (16, 48), (24, 24)])
@pytest.mark.parametrize("orientation", ["auto", "out", "in"])
@pytest.mark.parametrize("depth", [2, 3, 6])
def test_the_counts_are_those_of_built_layers(shape: tuple[int, int], orientation: Any, depth: int) -> None:
    sizes = LayerSizes(d_in=shape[0], d_out=shape[1], rank=5, depth=depth, orientation=orientation)
    neat = NeatConfig(r=5, depth=depth, orientation=orientation, residual="none", target_modules=["0"])
    assert sizes.neat == trained(neat, *shape)
    assert sizes.lora == trained(LoraConfig(r=5, target_modules=["0"]), *shape)


@given(
    d_in=st.integers(1, 300),
    d_out=st.integers(1, 300),
    depth=st.integers(2, 9),
    data=st.data(),
    orientation=st.sampled_from(["auto", "out", "in"]),
)
@settings(max_examples=60)
def test_the_equal_rank_is_the_nearest(
    d_in: int, d_out: int, depth: int, orientation: Any, data: st.DataObject
) -> None:
    rank = data.draw(st.integers(1, min(d_in, d_out)))
    sizes = LayerSizes(d_in=d_in, d_out=d_out, rank=rank, depth=depth, orientation=orientation)
    distances = [abs(sizes.neat_at(r) - sizes.lora) for r in range(1, sizes.limit + 1)]
    assert distances[sizes.neat_rank - 1] == min(distances)


def test_the_equation_is_written_out() -> None:
    plain = [
        re.sub(r"\\allowbreak ?|\\,|\\operatorname", "", written_out(sizes))
        for sizes in (LayerSizes(depth=3, activation="gelu"), LayerSizes(orientation="in", activation="tanh"))
    ]
    assert plain[0] == r"\Delta W = s({gelu}({gelu}(W_0^\top\Theta_{1})\Theta_{2})\Theta_{3})^\top"
    assert plain[1] == r"\Delta W = s{tanh}(W_0\Theta_{1})\Theta_{2}"


def test_the_formulas_hold_the_layers_numbers() -> None:
    page = side_by_side(LayerSizes(d_in=256, d_out=64, rank=4, depth=4))
    assert "4·(256 + 64) = 1,280" in page and "2·4·64 + 2·4² = 544" in page
    assert "Θ₂ … Θ₃: 4 × 4" in page and "Θ₄: 4 × 64" in page
    assert "NEAT has rank <strong>9</strong>" in page and "2.0" not in page
    assert "\n\n" not in page  # after an empty line Markdown would read what is HTML here


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0, 64, 4, 2, "auto", "relu"), "d_in=0"),
        ((10**9, 64, 4, 2, "auto", "relu"), "d_in=1000000000"),
        ((256, 64, 65, 2, "auto", "relu"), "allowed: 1 to 64"),
        ((256, 64, "<b>", 2, "auto", "relu"), "rank="),
        ((256, 64, None, 2, "auto", "relu"), "rank=None"),
        ((256, 64, 4, 1, "auto", "relu"), "depth=1"),
        ((256, 64, 4, 2, "up", "relu"), "orientation='up'"),
        ((256, 64, 4, 2, "auto", "prelu"), "activation='prelu'"),
        ((256, float("inf"), 4, 2, "auto", "relu"), "d_out=inf"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(values: tuple[Any, ...], said: str) -> None:
    with pytest.raises(BadInput) as refusal:
        LayerSizes.check(*values)
    assert said in str(refusal.value)
    message, page, *charts = _size(*values)
    assert 'role="alert"' in message and "<b>" not in message and "1,280" in page and all(charts)


@pytest.mark.parametrize("dial", DIALS)
def test_a_slider_stands_where_its_number_is(dial: Dial) -> None:
    octave, part = divmod(dial.at, 8)
    size = 2**octave * (1 + part / 8) if dial.name.startswith("d_") else dial.at
    assert size == getattr(LayerSizes(), dial.name) and dial.least <= dial.at <= dial.most


def test_the_pictures_have_the_activations_that_train() -> None:
    curves = orjson.loads(keep_sizes().partition("table: ")[2].partition(", d_in, d_out, rank")[0])["curves"]
    assert set(curves) == set(COMPARED)
    for name, curve in curves.items():
        x = curve["from"] + curve["step"] * np.arange(len(curve["values"]))
        np.testing.assert_allclose(curve["values"], ACTIVATIONS[name].values(x), atol=1e-4)


def test_the_charts_hold_the_counts() -> None:
    _, _, lines, curve = _size(64, 64, 4, 2, "auto", "tanh")
    figure = orjson.loads(lines)["figure"]
    by_name = {trace["name"]: dict(zip(trace["x"], trace["y"], strict=True)) for trace in figure["data"]}
    assert by_name["LoRA"][8] == by_name["NEAT"][8] == 1024
    assert by_name["NEAT here"] == {4: 512}
    assert "tanh(4) = 1.00" in orjson.loads(curve)["caption"]


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in LAB_ACTIVATIONS])
def test_the_drawn_activations_are_those_that_train(name: str) -> None:
    data = plots.function_data(name)
    expected = ACT2FN[name](torch.tensor(data.x, dtype=torch.float64))
    np.testing.assert_allclose(data.y, expected, atol=1e-12)


def test_an_activation_that_is_not_drawn_is_refused() -> None:
    with pytest.raises(BadInput, match="did you mean 'relu'"):
        plots.function_data("rellu")


@pytest.fixture(scope="module")
def teacher_layer() -> Layer:
    (layer,) = understand_worker.construct(ContainsOrder(task=TEACHER, rank=4))
    return layer


def test_the_construction_is_exact_where_m_has_full_row_rank(teacher_layer: Layer) -> None:
    inward, out = teacher_layer.inward, teacher_layer.out
    assert (inward.rows, inward.columns, inward.rank, inward.full) == (64, 256, 64, True)
    assert inward.error < 1e-6
    assert (out.rows, out.rank, out.full) == (256, 64, False)
    # MM⁺ projects on 64 of 256 directions, and ReLU of the projection is no longer ReLU of P.
    assert out.error > 0.5
    assert inward.condition == pytest.approx(out.condition) and 1 < float(inward.condition or 0) < 10


def test_the_construction_is_told_with_its_error(teacher_layer: Layer) -> None:
    page = construction([teacher_layer], "no such layer", 4).replace("<wbr>", "")
    assert "64 of 256" in page and "no full row rank" in page and f"{100 * teacher_layer.out.error:.0f} %" in page
    assert "64 of 64" in page and f"{teacher_layer.inward.error:.2g} is rounding" in page
    assert "1,280 parameters" in page and "4,096" in page  # 2·2r·256: the exact side costs more than the LoRA


def test_the_steps_come_one_by_one_and_end_with_the_table(teacher_layer: Layer) -> None:
    pages = [construction([teacher_layer], None, 4, shown) for shown in range(1, STEPS + 1)]
    assert [page.count('<li class="step">') for page in pages] == [*range(1, STEPS + 1)]
    assert ["<table>" in page for page in pages] == [False] * (STEPS - 1) + [True]
    assert not any("\n\n" in page for page in pages)  # after which Markdown would read what is HTML here


def test_the_steps_multiply_to_what_comes_out(teacher_layer: Layer) -> None:
    name, side = stepped(teacher_layer)
    steps = drawn_steps(name, side, 4)
    assert (name, side) == ("W_0", teacher_layer.inward)  # the side where it is exact
    assert "64 × 256, rank 64 of 64" in steps[0].text and "M⁺ is 256 × 64" in steps[1].text
    assert "Θ₁ is 256 × 8" in steps[2].text and "64 × 8" in steps[3].text and "8 × 256" in steps[4].text
    assert f"{side.error:.2g}: rounding" in steps[5].text
    drawn = {name: (height, width) for step in steps for name, height, width in step.matrices}
    assert drawn["M"] == drawn["PQ"] == drawn["M⁺"][::-1] == (24, 96) and drawn["Θ₁"] == (96, 3)


def test_the_steps_of_a_side_without_full_rank_say_what_is_lost(teacher_layer: Layer) -> None:
    steps = drawn_steps("W", teacher_layer.out, 4)
    assert r"\neq I" in steps[1].equation and "64 of 256 directions" in steps[1].text
    assert r"\approx" in steps[3].equation and "out of reach" in steps[5].text


def test_a_singular_weight_has_no_condition_number() -> None:
    side = Side(rows=3, columns=4, rank=2, condition=None, error=0.25)
    page = construction([Layer(name="<i>", out=side, inward=side)], None, 1)
    assert "∞" in page and "<i>" not in page and "misses this PQ by 25 %" in page


def test_a_lora_too_large_for_the_layer_is_refused_in_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(understand_worker, "begin", lambda: None)
    ours, theirs = Pipe()
    understand_worker.contains(ContainsOrder(task=TEACHER, rank=40), "", theirs)
    kind, part, said = ours.recv()
    assert (kind, part) == ("refused", "run") and "no room for 80 hidden units" in said


@pytest.mark.parametrize(
    ("task", "rank", "said"),
    [
        ("digits:split_seed=1", 4, "unknown task"),
        (None, 4, "unknown task"),
        ("digits", 0, "rank=0"),
        ("digits", "x", "rank='x'"),
    ],
)
def test_a_construction_that_cannot_be_is_refused(task: Any, rank: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        ContainsOrder.check(task, rank)


@pytest.mark.parametrize("index", range(len(CARDS)))
def test_every_card_judges_a_guess_and_leads_to_its_experiment(index: int) -> None:
    card, answer = CARDS[index], CARDS[index].answer()
    assert answer.right in card.choices
    for choice in card.choices:
        page = revealed(index, choice)
        assert ("Right." in page, "Not so." in page) == (choice == answer.right, choice != answer.right)
        assert answer.label.replace("'", "&#39;") in page
    if answer.link.startswith("?"):
        link = Link.text(answer.link)
        assert link.tab in {"train", "ablate"} and link.preset in {None, *PRESETS}
        assert ("data-train" in page) == (link.tab == "train")
        arm_fields(link.arm or ())
        assert answer.link.count("depth=") == len(link.axes().get("depth", ()))
    else:
        assert f'data-open="{answer.link[1:]}"' in page


def test_a_prediction_is_judged() -> None:
    assert 'You predicted 10. <b class="right">Right.</b> <strong>10</strong>' in revealed(0, "10")
    assert 'You predicted 2. <b class="wrong">Not so.</b> <strong>10</strong>' in revealed(0, "2")
    assert "Not so." in revealed(4, "LoRA") and "Right." in revealed(5, "LoRA")


@pytest.mark.parametrize("guess", [None, "", "<script>", ["10"], 10])
def test_nothing_is_revealed_without_a_guess(guess: Any) -> None:
    assert revealed(0, guess) == '<p role="alert">Predict first: 2, 4, 8, 10?</p>'


@pytest.mark.parametrize("depth", [2, 3, 8])
def test_no_depth_goes_past_the_rank(depth: int) -> None:
    assert max(measured_rank(4, depth, seed) for seed in range(50)) == 4


def test_hints_lead_to_presets() -> None:
    assert set(HINTS) <= set(PRESETS)
    assert all(f"?tab=train&amp;preset={name}" in hints() for name in HINTS)


class FakeJobs:
    """Jobs whose process has found, or refused, before anyone looks."""

    def __init__(self, result: Any, refusal: Any = None) -> None:
        self.job = SimpleNamespace(phase="ended", result=result, refusal=refusal, touch=lambda: None)

    def find(self, entry: str, order: ContainsOrder) -> Any:
        return None

    def submit(self, entry: str, order: ContainsOrder, brief: bool = False, **_: Any) -> Any:
        return self.job


def built(jobs: Any, runs: Path) -> UnderstandTab:
    with gr.Blocks() as demo:
        tab = UnderstandTab(Context(Store(runs), jobs))
        tab.connect(demo)
    return tab


def test_a_result_fills_the_page_and_its_layers(teacher_layer: Layer, runs: Path) -> None:
    tab, window = built(FakeJobs([teacher_layer.model_dump()]), runs), SimpleNamespace(session_hash="w")
    asked: Any = tab._contains(window, TEACHER, 4)  # type: ignore[arg-type]
    message, page, button, picker, _ = awaited(anext(asked))
    assert message == "" and picker["choices"] == ["layers.0.linear"] and button["value"] == "Next step (2 of 6)"
    for layer in ("layers.0.linear", ["x"]):
        assert tab._show_layer(layer, window) == [page, button]  # type: ignore[arg-type]


def test_a_press_reveals_the_next_step_and_another_layer_keeps_it(teacher_layer: Layer, runs: Path) -> None:
    tab, window = built(FakeJobs([teacher_layer.model_dump()]), runs), SimpleNamespace(session_hash="w")
    asked: Any = tab._contains(window, TEACHER, 4)  # type: ignore[arg-type]
    first = awaited(anext(asked))[1:3]
    shown = [tab._show_next(window) for _ in range(STEPS)]  # type: ignore[arg-type]
    assert [page.count('<li class="step">') for page, _ in shown] == [2, 3, 4, 5, 6, 1]
    assert shown[-2][1]["value"] == "From the start" and shown[-1] == first
    two = tab._show_next(window)  # type: ignore[arg-type]
    assert tab._show_layer("layers.0.linear", window) == two  # type: ignore[arg-type]


def test_a_refusal_is_told_and_what_was_there_stays(runs: Path) -> None:
    tab, window = built(FakeJobs(None, BadInput("no room")), runs), SimpleNamespace(session_hash="w")
    for rank, said in ((0, "rank=0"), (40, "no room")):
        asked: Any = tab._contains(window, TEACHER, rank)  # type: ignore[arg-type]
        message, page, *_ = awaited(anext(asked))
        assert said in message and "Press Construct" in page


def test_jobs_keep_what_a_process_has_found(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, at_once=0)
    try:
        job = jobs.submit(understand_worker.__name__, ContainsOrder(task="digits"))
        jobs._processes._handle_message(job, "result", [1, 2])
        assert job.result == [1, 2] and job.refusal is None
    finally:
        jobs.close()


def test_the_link_says_what_differs_from_the_start_and_brings_it_back(runs: Path) -> None:
    tab = built(FakeJobs(None), runs)
    values = [1024, 64, 4, 6, "in", "relu", "digits", 8]
    said = tab.write_link(values, "w")
    assert said == {"d_in": 1024, "maps": 6, "side": "in", "contains_rank": 8}
    updates = tab.read_link(Link.text(write(said)), "w")
    assert [update.get("value") for update in updates] == [1024, None, None, 6, "in", None, None, 8]


@pytest.mark.parametrize(
    "link", ["d_in=0", "maps=99", "side=up", "sigma=<script>", "contains=digits:split_seed=1", "rank=1e9"]
)
def test_a_link_out_of_range_is_refused(link: str) -> None:
    with pytest.raises(BadInput, match="the link"):
        Link.text(f"?{link}")

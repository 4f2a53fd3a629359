"""Data functions give the numbers of the tables; draw functions draw them, name their axes and survive ΔW = 0."""

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from neatlab import plots
from neatlab.errors import BadInput
from neatlab.plots.looks import TABLE, faded
from neatlab.plots.tables import short_layers
from neatlab.plots.theme import DARK, LIGHT, new_figure

NAN = float("nan")
LAYERS = ("q", "v")


def curve(arm: str, seed: int, step: int, split: str, loss: float, metric: float) -> dict[str, Any]:
    return {"arm": arm, "seed": seed, "step": step, "split": split, "loss": loss, "metric": metric}


def measured(arm: str, seed: int, step: int, layer: str, values: tuple[float, ...], rank: float) -> dict[str, Any]:
    shown = {"singular_values": values, "effective_rank": rank}
    return {"arm": arm, "seed": seed, "step": step, "layer": layer, **shown}


class Tables:
    """Two arms; the first has two seeds."""

    def curves(self) -> pd.DataFrame:
        rows = [curve("neat", 0, step, "train", 1 / step, NAN) for step in (1, 2, 4)]
        rows += [curve("neat", seed, 4, "validation", 0.5 + seed, 0.25 + seed / 2) for seed in (0, 1)]
        return pd.DataFrame([*rows, curve("lora", 0, 4, "validation", 0.75, 0.5), curve("lora", 0, 4, "test", 9, 9)])

    def spectra(self) -> pd.DataFrame:
        rows = [measured("neat", seed, 0, layer, (0.0, 0.0), NAN) for seed in (0, 1) for layer in LAYERS]
        rows += [measured("neat", seed, 4, "q", (3.0 + seed, 1.0), 1.5 + seed) for seed in (0, 1)]
        rows += [measured("neat", seed, 4, "v", (8.0, 2.0), 1.9) for seed in (0, 1)]
        return pd.DataFrame([*rows, measured("lora", 0, 4, "q", (5.0, 2.0, 1.0), 2.5)])

    def frame(self) -> pd.DataFrame:
        rows = [("neat", 40, 50), ("neat", 40, 50), ("lora", 60, 70), ("head", 0, 10)]
        return pd.DataFrame(rows, columns=["arm", "adapter_params", "trainable_params"])


TABLES = Tables()
DRAWN = [
    (plots.loss_curves, ["loss"]),
    (plots.metric_curves, ["metric, validation split"]),
    (plots.learning_curves, ["loss", "metric"]),
    (plots.spectrum, ["singular value σᵢ of ΔW"]),
    (plots.effective_rank, ["effective rank exp(−Σ p ln p)"]),
]


def test_loss_keeps_training_and_validation_apart_and_leaves_the_test_split_out() -> None:
    data = plots.loss_data(TABLES)
    (training,) = data.training
    assert (training.arm, training.x, training.mean) == ("neat", (1, 2, 4), (1, 0.5, 0.25))
    neat, lora = data.validation
    assert (neat.x, neat.mean, neat.low, neat.high, neat.seeds) == ((4,), (1.0,), (0.5,), (1.5,), 2)
    assert (lora.x, lora.mean, lora.seeds) == ((4,), (0.75,), 1)


def test_metric_is_named_by_the_caller_or_the_comparison() -> None:
    class Named(Tables):
        class metric:  # noqa: N801  # stands for an attribute
            name = "accuracy"

    assert [line.mean for line in plots.metric_data(TABLES).validation] == [(0.5,), (0.5,)]
    assert plots.metric_data(TABLES, "recovered error").name == "recovered error"
    assert plots.metric_data(Named()).name == "accuracy"


def test_a_long_curve_is_averaged_over_equal_stretches() -> None:
    rows = [curve("neat", 0, step, "train", float(step), NAN) for step in range(1, 1001)]
    (line,) = plots.loss_data(pd.DataFrame(rows)).training
    assert len(line.x) == 334
    assert (line.x[0], line.mean[0]) == (3, 2.0)
    assert (line.x[-1], line.mean[-1]) == (1000, 1000.0)


def test_spectrum_takes_the_last_step_and_ends_at_each_arms_ceiling() -> None:
    data = plots.spectrum_data(TABLES)
    neat, lora = data.spectra
    assert (data.layer, data.steps) == ("q", {"neat": 4, "lora": 4})
    assert (neat.x, neat.mean, neat.low, neat.high) == ((1, 2), (3.5, 1), (3, 1), (4, 1))
    assert (lora.x, lora.mean) == ((1, 2, 3), (5, 2, 1))


def test_spectrum_of_an_earlier_step_and_another_layer() -> None:
    data = plots.spectrum_data(TABLES, layer="v", step=3)
    assert data.steps == {"neat": 0}
    assert [line.mean for line in data.spectra] == [(0, 0)]


def test_an_unknown_layer_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="unknown layer 'k'; allowed: q, v"):
        plots.spectrum_data(TABLES, layer="k")


def test_effective_rank_is_the_mean_over_layers_and_a_gap_where_nothing_changed() -> None:
    neat, lora = plots.effective_rank_data(TABLES).ranks
    assert neat.x == (0, 4)
    assert math.isnan(neat.mean[0])
    assert neat.mean[1] == pytest.approx((1.5 + 1.9 + 2.5 + 1.9) / 4)
    assert (neat.low[1], neat.high[1]) == pytest.approx((1.7, 2.2))
    assert lora.mean == (2.5,)


def test_parameters_split_into_adapter_and_head() -> None:
    data = plots.parameter_data(TABLES, ["lora", "neat", "head"])
    assert data == (["lora", "neat", "head"], [60, 40, 0], [10, 10, 10])
    adapter, head = plots.parameter_counts(TABLES).data
    assert (list(adapter.x), list(head.x)) == ([40, 60, 0], [10, 10, 10])
    assert list(head.text) == ["40 + 10", "60 + 10", "0 + 10"]


@pytest.mark.parametrize(("draw", "names"), DRAWN)
def test_every_axis_is_named(draw: Any, names: list[str]) -> None:
    layout = draw(TABLES).layout
    assert [layout[axis].title.text for axis in ("yaxis", "yaxis2")[: len(names)]] == names
    assert layout.xaxis.title.text in ("training step", "index i; dotted: ceiling on the rank")
    assert plots.parameter_counts(TABLES).layout.xaxis.title.text == "trainable parameters, adapter + head"


@pytest.mark.parametrize(("draw", "_"), DRAWN)
def test_an_arm_keeps_its_colour_and_marker_in_every_figure(draw: Any, _: list[str]) -> None:
    for arms in (["lora", "neat"], ["neat", "lora"]):
        found = {t.name: (t.line.color, t.marker.symbol) for t in draw(TABLES, arms=arms).data if t.name}
        assert {name: look for name, look in found.items() if look[1]} == {"LoRA": TABLE["lora"], "NEAT": TABLE["neat"]}


@pytest.mark.parametrize(("draw", "_"), DRAWN)
def test_nothing_measured_yet_is_an_empty_figure(draw: Any, _: list[str]) -> None:
    class Empty(Tables):
        def curves(self) -> pd.DataFrame:
            return super().curves().iloc[:0]

        def spectra(self) -> pd.DataFrame:
            return super().spectra().iloc[:0]

    assert len(draw(Empty()).data) == 0


def test_several_seeds_have_a_band_and_it_is_named() -> None:
    figure = plots.metric_curves(TABLES)
    (band,) = [trace for trace in figure.data if trace.fill == "toself"]
    assert list(band.y) == [0.75, 0.25]
    assert "lowest to highest seed" in figure.layout.annotations[0].text


def test_the_template_follows_the_page() -> None:
    assert plots.loss_curves(TABLES).layout.template == LIGHT
    assert plots.loss_curves(TABLES, dark=True).layout.template == DARK
    assert LIGHT.layout.font.color != DARK.layout.font.color
    assert {LIGHT.layout.paper_bgcolor, DARK.layout.paper_bgcolor} == {"rgba(0,0,0,0)"}


def test_a_pale_colour_is_its_own() -> None:
    assert faded("#0072B2", 0.5) == "rgba(0,114,178,0.5)"


def sized(**sizes: tuple[float, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        [measured(arm, 0, step, "q", values, 2.0 * step) for arm, values in sizes.items() for step in (1, 2)]
    )


@pytest.mark.parametrize(
    ("sizes", "axes"),
    [
        ({"lora": (3.0, 1.0), "neat": (2.0, 1.0)}, ("linear", "linear")),
        ({"lora": (3.0, 1.0), "neat": (0.03, 0.01)}, ("linear", "log")),
        ({"lora": (3.0, 1.0), "full": tuple(1 / i for i in range(1, 17))}, ("linear", "linear")),
        ({"lora": (3.0, 1.0), "full": tuple(1 / i for i in range(1, 18))}, ("log", "log")),
        ({"lora": (0.0, 0.0), "neat": (0.03, 0.01)}, ("linear", "linear")),
    ],
)
def test_a_spectrum_is_logarithmic_where_that_is_more_readable(sizes: Any, axes: tuple[str, str]) -> None:
    figure = plots.spectrum(sized(**sizes))
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == axes
    for kind, log in (("linear", False), ("log", True)):
        layout, offered = plots.spectrum(sized(**sizes), log=log).layout, figure.layout.meta["axes"][kind]
        assert (layout.xaxis.type, layout.yaxis.type) == (offered["xaxis"]["type"], offered["yaxis"]["type"])


def test_rounding_does_not_stretch_a_logarithmic_axis() -> None:
    axis = plots.spectrum(sized(lora=(3.0, 1e-12)), log=True).layout.yaxis
    assert axis.autorangeoptions.clipmin == pytest.approx(3e-7)


def test_a_normalised_spectrum_has_each_seeds_shape() -> None:
    neat, lora = plots.spectrum_data(TABLES, normalised=True).spectra
    assert neat.mean == pytest.approx((1, (1 / 3 + 1 / 4) / 2))
    assert lora.mean == (1, 0.4, 0.2)
    assert math.isnan(plots.spectrum_data(TABLES, layer="v", step=0, normalised=True).spectra[0].mean[0])
    assert plots.spectrum(TABLES, normalised=True).layout.yaxis.title.text == "σᵢ/σ₁ of ΔW"


def test_earlier_steps_are_fainter_and_the_goal_goes_beyond_the_ceiling() -> None:
    spectra = [measured("lora", 0, step, "q", (step + 1.0, step / 2), 1.0) for step in range(-1, 9)]
    figure = plots.spectrum(pd.DataFrame(spectra), trails=3, goal=(9.0, 8.0, 7.0, 6.0, 5.0))
    line, goal, *trails = figure.data
    assert list(goal.y) == [9, 8, 7, 6]  # of twice as many as an arm has
    assert figure.layout.xaxis.range[1] > 4
    assert [trail.y[0] for trail in trails] == [1, 5, 8]  # none of the start, and not the last, which is `line`
    assert line.y[0] == 9
    shades = [float(trail.line.color.rpartition(",")[2].rstrip(")")) for trail in trails]
    assert shades == sorted(shades)
    assert shades[0] < shades[-1] < 1


def test_a_panel_of_arms_that_differ_a_hundredfold_is_logarithmic() -> None:
    frame = sized(lora=(1.0,), full=(1.0,)).assign(relative_norm=[4.0, 4.0, 0.02, 0.03], dead_units=None)
    figure = plots.layer_curves(frame)
    assert (figure.layout.yaxis.type, figure.layout.yaxis2.type) == ("linear", "log")


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        (["vit.layers.0.attention.q", "vit.layers.1.attention.v"], ["0.q", "1.v"]),
        (["model.0.q", "model.0.mlp.up", "model.head"], ["0.q", "0.mlp.up", "head"]),
        (["a.b", "a.b.c"], ["a.b", "a.b.c"]),
        (["a.b"], ["a.b"]),
        ([], []),
    ],
)
def test_layers_are_named_by_what_they_differ_in(layers: list[str], names: list[str]) -> None:
    assert short_layers(layers) == names


def test_maps_of_all_arms_have_one_scale_from_zero() -> None:
    maps = [plots.layer_map(TABLES, arm).data[0] for arm in ("neat", "lora")]
    assert [(one.zmin, one.zmax) for one in maps] == [(0, 2.5)] * 2


def test_what_plotly_does_not_know_is_found_by_the_tests() -> None:
    with pytest.raises(ValueError, match="wrong"):
        new_figure(["x", "y"], traces=[{"type": "scatter", "wrong": 1}])


def test_figures_become_json_with_null_for_a_gap() -> None:
    figure = plots.effective_rank(TABLES.spectra()[TABLES.spectra()["seed"] == 0])
    assert isinstance(figure, go.Figure)
    assert '"y":[null,1.7]' in figure.to_json()

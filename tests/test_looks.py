"""An arm's name, colour and marker are its method's: in all plots, on all tabs, in reports."""

import itertools
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest

from neatlab import plots
from neatlab.adapters.methods import METHODS
from neatlab.dashboard.ablate.view import draw_sweep
from neatlab.dashboard.inspect.charts import CHARTS
from neatlab.dashboard.inspect.request import AdapterSummary, InspectionResult
from neatlab.dashboard.runs.view import curves
from neatlab.dashboard.shared.arm_form import equation
from neatlab.dashboard.sweeps.request import Cell
from neatlab.dashboard.sweeps.snapshot import SweepSnapshot
from neatlab.dashboard.train import summary
from neatlab.dashboard.train.charts import OTHERS, ChartCache
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.snapshot import ViewState, read_runs
from neatlab.dashboard.understand.tab import START, _lines
from neatlab.inspection.runs import compare_runs
from neatlab.plots.looks import NO_METHOD, TABLE, Look, look, looks, rgb, short_name
from neatlab.report.figures import figures
from neatlab.report.inspection_figures import inspection_figures
from neatlab.report.page import render
from neatlab.runs.comparison import Comparison
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from tests.dashboard_runs import four_runs

LABELS = ("lora:rank=2", "neat:rank=2,depth=2")
NAMES = {"LoRA r 2": "lora", "NEAT r 2, depth 2": "neat", "LoRA": "lora", "NEAT": "neat"}
# Machado, Oliveira and Fernandes (2009): linear RGB as seen by those without one kind of cone.
BLIND = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
# Ottosson's OKLab: distances in it are about those that people see.
TO_CONES = ((0.4122, 0.5363, 0.0514), (0.2119, 0.6807, 0.1074), (0.0883, 0.2817, 0.6300))
TO_LAB = ((0.2105, 0.7936, -0.0041), (1.9780, -2.4286, 0.4506), (0.0259, 0.7828, -0.8087))


def linear(colour: str) -> np.ndarray[Any, Any]:
    parts = np.array(rgb(colour)) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    dark, light = sorted(float(linear(colour) @ (0.2126, 0.7152, 0.0722)) for colour in (a, b))
    return (light + 0.05) / (dark + 0.05)


def seen(colour: str, kind: str) -> np.ndarray[Any, Any]:
    return np.array(TO_LAB) @ np.cbrt(np.array(TO_CONES) @ np.clip(np.array(BLIND[kind]) @ linear(colour), 0, 1))


def distance(a: str, b: str, kinds: tuple[str, ...]) -> float:
    return min(100 * float(np.linalg.norm(seen(a, kind) - seen(b, kind))) for kind in kinds)


def test_every_method_has_a_row() -> None:
    assert set(TABLE) == set(METHODS)
    assert len(set(TABLE.values())) == len({colour for colour, _ in TABLE.values()}) == len(TABLE)


@pytest.mark.parametrize("ground", ["#ffffff", "#0b0f19", "#1f2933"])
def test_every_colour_stands_out_from_a_light_and_a_dark_page(ground: str) -> None:
    assert {method: value for method, (colour, _) in TABLE.items() if (value := contrast(colour, ground)) < 3} == {}


def test_two_methods_of_one_marker_differ_for_the_colour_blind_too() -> None:
    for (a, marker), (b, other) in itertools.combinations([*TABLE.values(), NO_METHOD[0]], 2):
        assert distance(a, b, tuple(BLIND) if marker == other else ("none",)) > (8 if marker == other else 3), (a, b)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("neat:rank=4,depth=2", "NEAT r 4, depth 2"),
        ("lora:rank=4,lr=0.002", "LoRA r 4, lr 0.002"),
        ("neat:rank=4,depth=3,activation=gelu,residual=none", "NEAT r 4, depth 3, gelu, residual none"),
        ("oft:block_size=8", "OFT block size 8"),
        ("full", "full fine-tuning"),
        ("lora:rank=4 @ kind=low-rank,lr=0.1", "LoRA r 4 @ kind=low-rank,lr=0.1"),
        ("lora:rank=4 · seed 0 · digits · 0123", "LoRA r 4 · seed 0 · digits · 0123"),
        ("reviews", "reviews"),
        ("…/a b:c", "…/a b:c"),
        ("", ""),
    ],
)
def test_a_name_is_short_where_it_is_an_arms(label: str, name: str) -> None:
    assert short_name(label) == name


def test_a_name_that_two_arms_would_share_is_written_out() -> None:
    shown = looks(["lora:rank=4", "LoRA r 4"])
    assert [one.name for one in shown.values()] == list(shown)


def test_variants_keep_colour_family_and_marker_in_any_order() -> None:
    arms = ["lora:rank=4", "neat:rank=4,depth=2,activation=gelu", "neat:rank=16,depth=2", "neat:rank=4,depth=2"]
    shown = looks(arms)
    assert list(shown) == arms
    assert {arm: shown[arm] for arm in arms} == looks(arms[::-1])
    assert shown[arms[0]] == Look("LoRA r 4", *TABLE["lora"]) == look(arms[0])
    assert shown[arms[3]] == Look("NEAT r 4, depth 2", *TABLE["neat"])
    assert [shown[arm].dash for arm in arms] == ["solid", "dot", "dash", "solid"]
    assert {shown[arm].marker for arm in arms[1:]} == {"square"}
    twenty = looks([f"neat:rank={rank},depth=2" for rank in range(1, 21)]).values()
    assert len({(one.colour, one.dash) for one in twenty}) == 20


def test_some_arms_look_as_they_do_among_all() -> None:
    arms = [f"neat:rank={rank},depth=2" for rank in (2, 4, 8)]
    frame = pd.DataFrame({"arm": arms, "seed": 0, "metric": 0.5})
    (some,) = plots.interval_data(frame, arms=arms[2:]).arms
    assert some == plots.interval_data(frame).arms[2]


def test_an_adapters_colour_is_its_methods_where_its_title_does_not_say_it() -> None:
    shown = looks(["reviews", "mine", "weights"], {"reviews": "LORA", "weights": "checkpoint"})
    assert [(one.colour, one.marker) for one in shown.values()] == [TABLE["lora"], NO_METHOD[0], TABLE["full"]]
    series = looks([f"depth {depth}" for depth in range(30)])
    assert len(set(series.values())) == len({one[1:] for one in series.values()}) == 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return four_runs(tmp_path_factory.mktemp("runs"))


def ordered(store: Store, order: tuple[str, ...]) -> list[Run]:
    return sorted(store.runs(), key=lambda run: (order.index(run.config.arm.label), run.config.seed))


def value(text: str | None) -> dict[str, Any]:
    figure: dict[str, Any] = orjson.loads(text or "")["figure"]
    return figure


def in_notebooks(runs: list[Run]) -> list[dict[str, Any]]:
    drawn = (
        *(plots.loss_curves, plots.metric_curves, plots.learning_curves, plots.spectrum, plots.energy),
        *(plots.effective_rank, plots.layer_curves, plots.intervals, plots.pareto, plots.rank_against_metric),
    )
    made = [draw(Comparison(runs)) for draw in drawn]
    assert all({trace.name for trace in figure.data} >= set(list(NAMES)[:2]) for figure in made)
    return [figure.to_plotly_json() for figure in made]


def on_train(runs: list[Run]) -> list[dict[str, Any]]:
    configs = [run.config for run in runs if run.config.seed == 0]
    snapshot = read_runs(configs, Feed(runs[0].path.parent))
    colours = re.findall(r'fill="(#\w+)"', summary.table(snapshot))
    assert colours == [TABLE[config.arm.method][0] for config in configs]
    assert all(TABLE[config.arm.method][0] in equation(config.arm.method) for config in configs)
    charts = {name: text for name, text in ChartCache().charts(snapshot, ViewState()).items() if name != OTHERS}
    keys = set(re.findall(r'fill="(#\w+)"', orjson.loads(charts.pop("answers") or "")["html"]))
    assert keys == set(colours)
    arms = orjson.loads(charts.pop("weights") or "")["own"]["arms"]
    assert [arm["colour"] for arm in arms] == colours
    return [value(text) for text in charts.values()]


def on_inspect(runs: list[Run]) -> list[dict[str, Any]]:
    compared = compare_runs([run for run in runs if run.config.seed == 0])
    summaries = [AdapterSummary(one.title, "", []) for one in compared.inspections]
    spectra = pd.concat([one.spectra() for one in compared.inspections], ignore_index=True)
    result = InspectionResult(summaries, [], compared.frame(), spectra, compared.angles(), "", "")
    layer = str(spectra["layer"].iloc[0])
    drawn = [row.draw(result, layer, "norm") for row in CHARTS.values()]
    pages = [figure.plain() for figure in inspection_figures(compared)]
    return [*pages, *(value(text) for text in drawn if text is not None)]


def on_ablate(runs: list[Run]) -> list[dict[str, Any]]:
    configs = tuple(sorted((run.config for run in runs), key=lambda c: (LABELS.index(c.arm.label), c.seed)))
    asked: Any = SimpleNamespace(
        runs=lambda: configs,
        task=configs[0].spec,
        base=LABELS[1],
        reference=LABELS[0],
        axes=(),
        cells=[Cell(config.spec, config.arm) for config in configs[::2]],
        margin=0.0,
        seeds=2,
        max_seeds=2,
        rates=None,
        can_tune=False,
    )
    ended = {run.run_id: run for run in runs}
    drawn = draw_sweep(SweepSnapshot(asked, ended, frozenset(ended), configs))
    assert set(re.findall(r'<svg class="key".*?fill="(#\w+)"', drawn.verdict)) == {TABLE["lora"][0], TABLE["neat"][0]}
    return [value(drawn.scores)]


def in_report(runs: list[Run]) -> list[dict[str, Any]]:
    comparison = Comparison(runs)
    order = list(dict.fromkeys(run.config.arm.label for run in runs))
    keys = re.findall(r'<svg class="key".*?fill="(#\w+)"', render(comparison, "neatlab"))
    assert set(keys) == {TABLE["lora"][0], TABLE["neat"][0]}
    return [figure.plain() for figure in figures(comparison, order)]


PLACES: tuple[Callable[[list[Run]], list[dict[str, Any]]], ...] = (
    in_notebooks,
    on_train,
    lambda runs: [value(curves(runs))],
    on_inspect,
    on_ablate,
    lambda runs: [value(_lines(START))],
    in_report,
)


def painted(figures: list[dict[str, Any]]) -> set[tuple[str, tuple[int, ...], str | None]]:
    """(name, colour, marker) of everything that bears an arm's name, bars and pale lines too."""
    found = set()
    for trace in (trace for figure in figures for trace in figure["data"]):
        line, marker = trace.get("line") or {}, trace.get("marker") or {}
        if trace.get("type") == "bar" and trace["name"] not in NAMES:
            found |= {(name, rgb(colour), None) for name, colour in zip(trace["y"], marker["color"], strict=True)}
        elif trace.get("name") in NAMES:
            colour = marker.get("color") or line["color"]
            parts = rgb(colour) if colour[0] == "#" else tuple(map(int, re.findall(r"\d+", colour)[:3]))
            found.add((trace["name"], parts, marker.get("symbol")))
    return found


@pytest.mark.parametrize("order", [LABELS, LABELS[::-1]])
@pytest.mark.parametrize("place", PLACES)
def test_an_arm_looks_the_same_everywhere(place: Any, order: tuple[str, ...], store: Store) -> None:
    shown = painted(place(ordered(store, order)))
    wrong = {one for one in shown if one[1] not in (rgb(TABLE[NAMES[one[0]]][0]), rgb("#5f6b78"))}
    assert not wrong
    assert {marker for name, _, marker in shown if marker and NAMES[name] == "lora"} <= {"circle"}
    assert {marker for name, _, marker in shown if marker and NAMES[name] == "neat"} <= {"square"}
    assert {NAMES[name] for name, *_ in shown} == {"lora", "neat"}

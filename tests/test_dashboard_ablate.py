"""The Ablate tab without a browser: what it lets through, what it shows of a store, and that a sweep ends when told."""

import asyncio
import html
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import orjson
import psutil
import pytest

from neatlab.adapters.activations import COMPARED
from neatlab.cli.parser import main
from neatlab.config import RunConfig
from neatlab.dashboard.ablate.form import _hints
from neatlab.dashboard.ablate.link import AblateLink
from neatlab.dashboard.ablate.tab import AblateTab
from neatlab.dashboard.ablate.verdict import NO_VERDICT
from neatlab.dashboard.ablate.view import draw_sweep, resting, run_count
from neatlab.dashboard.links import Link
from neatlab.dashboard.shared.arm_values import written_arm
from neatlab.dashboard.shared.choices import task_choices
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.links import write
from neatlab.dashboard.sweeps.axes import AXES
from neatlab.dashboard.sweeps.estimate import START_SECONDS, workers
from neatlab.dashboard.sweeps.request import FIELDS, MAX_RUNS, SCALES, TRIES, SweepOrder
from neatlab.dashboard.sweeps.snapshot import read_sweep
from neatlab.dashboard.sweeps.worker import sweep
from neatlab.dashboard.train.form import arm_fields, read_form
from neatlab.errors import BadInput
from neatlab.experiments.plan import RATE_GRID, SCALE_GRID
from neatlab.experiments.sweep import Sweep
from neatlab.runs.store import Store
from neatlab.runtime.numbers import duration
from tests.awaiting import awaited
from tests.gate import Gate
from tests.waiting import LIMIT, is_alive, wait_until

ROOT = Path(__file__).parents[1]
TEACHER = "teacher:kind=weight-aware"
GOOD: dict[str, Any] = {
    "task": TEACHER,
    "base": "neat:rank=4",
    "depth": [2, 4],
    "activation": ["relu", "tanh"],
    "seeds": 2,
    "steps": "5",
}
SETTINGS = ("seeds", "steps", "margin", "rates")

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown task": ({"task": "teacher:kind=weight-aware,d_in=4096"}, "run", "unknown task"),
    "a path as a task": ({"task": "../../etc"}, "run", "unknown task"),
    "no arm": ({"base": "neet:rank=4"}, "base", "did you mean 'neat'"),
    "an arm that is no text": ({"base": 4}, "base", "such as neat:rank=4"),
    "a very long arm": ({"base": "neat:" + "x" * 1000}, "base", "at most 200 characters"),
    "rank above the page's": ({"base": "neat:rank=4000"}, "base", "rank=4000"),
    "depth out of range": ({"depth": [64]}, "depth", "allowed: 2, 3"),
    "depth true": ({"depth": [True]}, "depth", "allowed: 2"),
    "nothing to compare": ({"base": "lora:rank=4"}, "run", "lora:rank=4 is the reference too"),
    "a rank above the page's": ({"rank": ["4", "4000"]}, "axes", "rank=4000"),
    "a rank in words": ({"rank": ["four"]}, "axes", "rank='four'"),
    "an orientation of another name": ({"orientation": ["up"]}, "axes", "allowed: out, in, auto"),
    "a size of another number": ({"size": [7]}, "axes", "allowed: 125, 250"),
    "a share above all": ({"train_size": ["1.5"]}, "axes", "train_size='1.5'"),
    "very many values": ({"rank": [*range(1, 40)]}, "axes", "39 values of rank; at most 16"),
    "no reference": ({"reference": "lorra"}, "reference", "did you mean 'lora'"),
    "rates of another kind": ({"rates": "fast"}, "run", "rates='fast'"),
    "what a search chooses varied too": ({"scaling": [1, 3], "rates": "auto"}, "run", "differ only in what"),
    "unknown activation": ({"activation": ["<script>"]}, "activation", "allowed: relu"),
    "no seed": ({"seeds": 0}, "run", "seeds=0"),
    "many seeds": ({"seeds": 6}, "run", "seeds=6"),
    "margin below 0": ({"margin": "-0.1"}, "run", "margin='-0.1'"),
    "margin in words": ({"margin": "small"}, "run", "margin='small'"),
    "seeds in words": ({"seeds": "three"}, "run", "seeds='three'"),
    "seeds without a value": ({"seeds": None}, "run", "give 1 to 5, or auto"),
    "too many arms for a first look": (
        {"base": "neat:residual=none", "depth": [2, 3, 4, 5, 6, 7], "activation": list(COMPARED), "seeds": "auto"},
        "run",
        f"{(6 * len(COMPARED) + 1) * 3} runs; at most {MAX_RUNS}",
    ),
    "many steps": ({"steps": 10**6}, "run", "steps=1000000"),
    "no steps": ({"steps": "0"}, "run", "steps='0'"),
    "many runs": (
        {"depth": [2, 4, 6, 8], "activation": list(COMPARED), "seeds": 5},
        "run",
        f"{(4 * len(COMPARED) + 1) * 5} runs; at most {MAX_RUNS}",
    ),
}


def checked(**changes: Any) -> SweepOrder:
    given = {**GOOD, **changes}
    axes = {name: given[name] for name in AXES if name in given}
    settings = {name: given[name] for name in SETTINGS if name in given}
    return SweepOrder.check(given["task"], given["base"], axes, settings, given.get("reference"))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_swept_is_refused_where_the_mistake_is(case: str) -> None:
    changes, place, said = REFUSED[case]
    with pytest.raises(FieldError) as refusal:
        checked(**changes)
    assert (refusal.value.field, said in str(refusal.value)) == (place, True), str(refusal.value)


def test_odd_depths_are_built_without_residual() -> None:
    order = checked(depth=["2", "3"], residual=["paired", "none"])
    assert {(cell.arm.options["depth"], cell.arm.options["residual"]) for cell in order.cells[1:]} == {
        (2, "none"),
        (3, "none"),
    }
    assert "residual=none: the paired one needs an even depth" in run_count(read_sweep(order, Store("nowhere")))
    assert "residual" not in run_count(read_sweep(checked(), Store("nowhere")))


VARIED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "a rate of its own": {"base": "neat:rank=2,residual=none,lr=0.01"},
    "a depth that is varied": {"base": "neat:rank=4,depth=6,scaling=0.5"},
    "odd depths": {"depth": [3, 2]},
    "ranks and rates of LoRA": {"base": "lora:rank=2", "rank": [2, "4"], "lr": ["0.01", 0.1]},
    "sizes": {"size": ["250", 125], "reference": "dora"},
    "shares of the data": {"train_size": ["0.5", 0.25], "size": [125, 250], "activation": []},
    "any reference": {"reference": "neat:rank=4,depth=2", "orientation": ["out", "in"]},
}


@pytest.mark.parametrize("case", VARIED)
def test_the_runs_are_those_of_the_sweep(case: str, runs: Path) -> None:
    order = checked(**VARIED[case])
    asked = [config.run_id for config in sweep(order, str(runs)).configs]
    assert [config.run_id for config in order.runs()] == asked
    assert len(asked) == len(set(asked)) == 2 * len(order.cells)


@pytest.mark.parametrize("case", VARIED)
def test_the_command_asks_for_the_same_runs(case: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = checked(**VARIED[case])
    asked: list[str] = []
    monkeypatch.setattr(Sweep, "run", lambda self, **_: asked.extend(config.run_id for config in self.configs))
    monkeypatch.setattr("neatlab.cli.commands._answer", lambda *_: None)
    assert main([*shlex.split(order.command)[3:], "--runs", str(runs)]) == 0
    assert asked == [config.run_id for config in order.runs()]


def test_what_an_arm_lacks_is_not_varied() -> None:
    order = checked(base="lora:rank=2", alpha=[1, 2], depth=[3], reference="full")
    assert [cell.arm.label for cell in order.cells] == ["full", "lora:rank=2,alpha=1", "lora:rank=2,alpha=2"]
    assert checked(depth=[], activation=None).axes == ()


def test_the_same_grid_in_another_order_is_the_same_sweep() -> None:
    assert checked(depth=["4", 2, 2], activation=["tanh", "relu"], seeds="2", steps=5) == checked()


@pytest.mark.parametrize(
    ("text", "label"),
    [("", "lora:rank=3,lr=0.01"), ("dora", "dora:rank=3,lr=0.01"), ("full", "full:lr=0.01"), ("lora:rank=8", None)],
)
def test_a_method_as_reference_shares_rank_and_learning_rate(text: str, label: str | None) -> None:
    assert checked(base="neat:rank=3,lr=0.01,depth=4", reference=text).reference == (label or text)


def test_an_empty_number_of_steps_is_the_tasks_own() -> None:
    assert {config.training.steps for config in checked(steps=" ").runs()} == {600}


def stored(store: Store, config: RunConfig, metric: float | None, **more: Any) -> None:
    """A run as if it had been trained."""
    writer = store.start(config)
    summary = {"status": "finished", "seconds": 1.0, "seconds_per_step": 0.1, "metric": metric, **more}
    failed = {"status": "failed", "error": "loss is not finite", "metric": None}
    writer.finish({"adapter_params": 512, "trainable_params": 512, **(failed if metric is None else summary)})


def filled(runs: Path, scores: Callable[[RunConfig], float | None], **changes: Any) -> tuple[SweepOrder, Store]:
    order, store = checked(**changes), Store(runs)
    for config in order.runs():
        stored(store, config, scores(config))
    return order, store


def by_depth(config: RunConfig) -> float:
    """LoRA 0.5, depth 2 better by 0.2, depth 4 worse by 0.2, each seed a little different."""
    base = {None: 0.5, 2: 0.3, 4: 0.7}[config.arm.options.get("depth")]
    return base + 0.001 * config.seed + 0.0005 * (config.seed % 2) * len(config.arm.label)


def test_an_empty_store_invites(runs: Path) -> None:
    seen = read_sweep(checked(), Store(runs))
    drawn = draw_sweep(seen, 0.5)
    assert (drawn.scores, drawn.verdict) == (None, NO_VERDICT) and 'class="hint"' in drawn.decision
    assert drawn.grid.count('class="cell planned"') == 5 and drawn.grid.count("2 runs") == 5
    assert drawn.grid.count("≈ 5 s") == 5  # two seeds of five steps
    assert "10 runs" in run_count(seen) and "holds 0 of them" in run_count(seen)
    assert f"About {duration(25 / workers() + START_SECONDS)} here" in run_count(seen, 0.5)  # fifty steps


def test_cells_that_are_not_there_yet_stay_empty(runs: Path) -> None:
    order, store = checked(), Store(runs)
    for config in order.runs()[:3]:  # the reference's two seeds and one of depth 2, relu
        stored(store, config, by_depth(config))
    drawn = draw_sweep(read_sweep(order, store))
    reference, *rows = cells(drawn.grid)
    assert (reference[0], rows[0][0], rows[1][0]) == ("reference lora:rank=4", "depth 2", "depth 4")
    assert rows[0][1:] == ["0.300 1 of 2 seeds", "2 runs ≈ 2 s"] and rows[1][1:] == ["2 runs ≈ 2 s"] * 2
    assert reference[1].startswith("0.50") and reference[1].endswith("2 seeds")
    assert "3 of 10 runs: differences are judged when all of them are there" in drawn.verdict
    assert "better" not in drawn.verdict.partition("<table>")[2]


def test_the_verdict_says_which_way_each_arm_differs(runs: Path) -> None:
    order, store = filled(runs, by_depth, seeds=4)
    drawn = draw_sweep(read_sweep(order, store))
    rows = {row.partition("</th>")[0].replace("<wbr>", ""): row for row in drawn.verdict.split("<tr")[2:]}
    said = {name.rpartition(">")[2]: row for name, row in rows.items()}
    assert "Reference: lora:rank=4" in drawn.verdict
    assert ">reference<" in said["lora:rank=4"]
    assert ">better<" in said["neat:rank=4,depth=2"] and "-0.2" in said["neat:rank=4,depth=2"]
    assert ">worse<" in said["neat:rank=4,depth=4,activation=tanh"]
    shades = re.findall(r'<td class="cell (\w+)"', drawn.grid)
    assert shades == ["reference", "better", "better", "worse", "worse"]
    assert "for all comparisons (4 of 4)" in drawn.grid
    assert (drawn.more_seeds, drawn.asks_rates) == ("", True)


def test_what_is_not_shown_is_not_shaded_and_asks_for_seeds(runs: Path) -> None:
    order, store = filled(runs, lambda config: 0.5 + 0.1 * ((config.seed * len(config.arm.label)) % 5), seeds=3)
    drawn = draw_sweep(read_sweep(order, store))
    assert set(re.findall(r'<td class="cell (\w+)"', drawn.grid)) == {"reference", "ended"}
    assert drawn.more_seeds == "auto" and "(0 of 4)" in drawn.grid


def test_a_cell_opens_its_first_run_beside_the_reference(runs: Path) -> None:
    order, store = filled(runs, by_depth)
    links = [html.unescape(link) for link in re.findall(r'href="([^"]+)"', draw_sweep(read_sweep(order, store)).grid)]
    assert len(links) == 4  # the reference alone is no pair
    link = Link.text(links[1])
    opened = read_form(run_controls_values() | arm_fields(link.arm or ()) | link.said() | {"task": link.task})
    assert {config.run_id for config in opened.runs()} == {order.runs()[0].run_id, order.runs()[4].run_id}


def run_controls_values() -> dict[str, Any]:
    return {"batch": "", "lr": "", "match": "none"}


def cells(grid: str) -> list[list[str]]:
    """Text of the grid's rows, cell by cell."""
    rows = re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", grid)
    return [
        [" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]


def test_the_rates_are_found_first(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page follows the search as the sweep's process does it: its runs, then those at the best rates."""
    order, store = checked(depth=[2], activation=["relu"], rates="auto"), Store(runs)
    assert (len(RATE_GRID), len(SCALE_GRID)) == (TRIES, SCALES)
    followed: list[tuple[bool, int, int]] = []

    def run_all(configs: Sequence[RunConfig], *_: Any) -> dict[str, str]:
        seen = read_sweep(order, store)
        assert {config.run_id for config in configs} <= seen.wanted
        followed.append((seen.is_searching, len(seen.ended), seen.total))
        for config in configs:
            stored(store, config, by_depth(config), validation_loss=abs(config.training.lr - 0.01))
        return {}

    monkeypatch.setattr("neatlab.experiments.sweep.run_all", run_all)
    whole = sweep(order, str(runs)).run()
    assert followed == [(True, 0, 16), (True, 8, 16), (False, 12, 16)]
    seen = read_sweep(order, store)
    assert [arm.label for arm in seen.arms] == [arm.arm for arm in whole.arms()]
    assert all(arm.lr == pytest.approx(0.01, rel=0.5) for arm in seen.arms)
    drawn = draw_sweep(seen)
    assert seen.complete and "did best on the validation split" in drawn.verdict and not drawn.asks_rates


@pytest.mark.parametrize("depths", [[2], [2, 4]])
def test_few_arms_are_held_against_the_reference_too(depths: list[int], runs: Path) -> None:
    """Of up to three arms the comparison names pairs in its own order; the table's sign is always arm − reference."""
    order, store = filled(runs, by_depth, depth=depths, activation=["relu"], seeds=4)
    verdict = draw_sweep(read_sweep(order, store)).verdict
    row = verdict.partition("depth=2</th>")[2].partition("</tr>")[0]
    assert "<td>-0.19" in row and ">better<" in row


def test_until_it_is_decided_more_seeds_are_wanted_after_each_look_that_decides_nothing(runs: Path) -> None:
    order, store = checked(seeds="auto", depth=[2], activation=["relu"]), Store(runs)
    assert order.max_seeds == 20 and "--seeds auto" in order.command and "--max-seeds 20" in order.command
    same: dict[int, float] = {0: 0.5, 1: 0.6, 2: 0.4, 3: 0.5}
    seen = read_sweep(order, store)
    assert (seen.total, seen.complete) == (6, False)  # two arms, a first look after three seeds
    for look, more in ((3, 4), (4, 5)):
        for config in order.runs():
            if config.seed < look and store.finished(config) is None:
                stored(store, config, same[config.seed] + 0.1 * (config.seed % 2) * len(config.arm.options))
        seen = read_sweep(order, store, seen)
        assert (len(seen.ended), seen.total, seen.complete) == (2 * look, 2 * more, False)
    assert "differences are judged when all of them are there" in draw_sweep(seen).verdict


def test_what_is_decided_at_the_first_look_wants_no_more_seeds(runs: Path) -> None:
    order, store = checked(seeds="auto", depth=[2], activation=["relu"]), Store(runs)
    for config in order.runs():
        if config.seed < 3:
            stored(store, config, by_depth(config) - (4 if config.arm.options.get("depth") else 0))
    seen = read_sweep(order, store)
    assert (seen.total, seen.complete) == (6, True)
    drawn = draw_sweep(seen)
    decision = drawn.decision.replace("<wbr>", "")
    assert decision.partition(">")[2].startswith("Take neat:rank=4,depth=2: it is better than lora:rank=4 in")
    assert "6 of" not in drawn.verdict and resting(seen, drawn.is_decided) == "Decided."


def test_the_runs_wanted_are_those_that_the_sweep_trains(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page computes from the store and what the sweep's process does must not differ."""
    order, store = checked(seeds="auto", depth=[2, 4], activation=["relu"]), Store(runs)
    trained: list[tuple[str, ...]] = []

    def run_all(configs: Sequence[RunConfig], *_: Any) -> dict[str, str]:
        seen = read_sweep(order, store)
        trained.append(tuple(sorted(config.run_id for config in configs)))
        assert (trained[-1] == tuple(sorted(seen.wanted)), seen.complete) == (True, False)
        for config in configs:
            if store.finished(config) is None:
                stored(store, config, close(config))
        return {}

    monkeypatch.setattr("neatlab.experiments.sweep.run_all", run_all)
    sweep(order, str(runs)).run()
    assert len(trained) > 2 and len(trained[-1]) < 3 * max(config.seed + 1 for config in order.runs())
    assert read_sweep(order, store).complete


def close(config: RunConfig) -> float:
    """Depth 4 far behind, the others so close that it takes some seeds."""
    return by_depth(config) if config.arm.options.get("depth") == 4 else 0.1 + 0.02 * math.sin(7.0 * config.seed)


def test_diverged_runs_are_named(runs: Path) -> None:
    order, store = filled(runs, lambda c: None if c.arm.options.get("activation") == "tanh" else by_depth(c))
    drawn = draw_sweep(read_sweep(order, store))
    assert "2 of 2 runs of neat:<wbr>rank=4,<wbr>depth=4,<wbr>activation=tanh diverged" in drawn.verdict
    assert [row[2] for row in cells(drawn.grid)[1:]] == ["diverged 2 seeds"] * 2


def test_all_diverged_leaves_the_charts_empty(runs: Path) -> None:
    order, store = filled(runs, lambda c: None)
    drawn = draw_sweep(read_sweep(order, store))
    assert drawn.scores is None and "diverged" in drawn.verdict and drawn.grid.count("diverged") == 5


def test_many_arms_leave_the_best_in_the_chart(runs: Path) -> None:
    changes = {"depth": [2, 4, 6], "activation": ["relu", "gelu", "silu", "tanh"], "seeds": 2}
    order, store = filled(runs, lambda c: c.arm.options.get("depth", 1) / 10 + c.seed / 100, **changes)
    scores = orjson.loads(str(draw_sweep(read_sweep(order, store)).scores))
    assert len(scores["figure"]["data"]) == 8 and "the best 7 of 12 others" in scores["caption"]


def test_another_runs_folder_entry_is_shown_as_text(runs: Path) -> None:
    order, store = filled(runs, by_depth)
    assert "<script" not in draw_sweep(read_sweep(order, store)).verdict.lower()


class FakeJobs:
    """Jobs that record what is asked and run nothing."""

    def __init__(self) -> None:
        self.orders: list[SweepOrder] = []
        self.words: list[str] = []
        self.job: Any = None

    def submit(self, entry: str, order: SweepOrder, owner: Any = None, **_: Any) -> Any:
        self.orders.append(order)
        told = {"phase": "running", "stopped": False, "refusal": None, "touch": lambda: None}
        self.job = SimpleNamespace(**told, owned_by=lambda window: window is owner)
        return self.job

    def find(self, entry: str, order: SweepOrder) -> Any:
        return self.job if self.job and self.job.phase != "ended" and self.orders[-1] == order else None

    def position(self, job: Any) -> int:
        return 0

    def send(self, job: Any, word: str) -> None:
        self.words.append(word)


@pytest.fixture
def tab(runs: Path) -> AblateTab:
    jobs: Any = FakeJobs()
    with gr.Blocks() as demo:
        made = AblateTab(Context(Store(runs), jobs))
        made.connect(demo)
    return made


def visit(window: str) -> Any:
    return SimpleNamespace(session_hash=window)


OUTPUTS = (
    *FIELDS,
    "count",
    "command",
    "status",
    "decision",
    "grid",
    "scores",
    "verdict",
    "start",
    "stop",
    "seeds",
    "rates",
)


def first(stream: Any) -> dict[str, Any]:
    """Output → its first value."""
    return named(awaited(anext(stream)))


def named(values: list[Any]) -> dict[str, Any]:
    return dict(zip(OUTPUTS, values, strict=True))


def form(tab: AblateTab, **changes: Any) -> list[Any]:
    """What the form sends: GOOD, with changes."""
    given = {**GOOD, **changes}
    fields = {name: getattr(field, "value", None) for name, field in tab.fields.items()}
    fields |= {"ablate_task": given["task"], "ablate_steps": given["steps"], **written_arm("base", given["base"])}
    fields |= {f"axis.{name}": given[name] for name in AXES if name in given}
    return [*(fields | {name: given[name] for name in ("seeds", "margin", "rates") if name in given}).values()]


def test_start_refuses_beside_the_field_and_queues_nothing(tab: AblateTab) -> None:
    values = first(tab.handlers.begin(visit("w"), *form(tab, rank=["0"])))
    assert [name for name in FIELDS if 'role="alert"' in values[name]] == ["axes"]
    assert tab.context.jobs.orders == []  # type: ignore[attr-defined]


def test_a_second_window_and_a_reload_find_the_running_sweep(tab: AblateTab) -> None:
    jobs: Any = tab.context.jobs
    first(tab.handlers.begin(visit("one"), *form(tab)))
    assert "Sweeping." in first(tab.handlers.look(visit("two"), *form(tab)))["status"]
    first(tab.handlers.begin(visit("three"), *form(tab)))
    assert len(jobs.orders) == 1


def test_a_changed_form_leaves_the_running_sweep_alone(tab: AblateTab) -> None:
    jobs: Any = tab.context.jobs
    first(tab.handlers.begin(visit("w"), *form(tab)))
    values = first(tab.handlers.look(visit("w"), *form(tab, seeds=3)))
    assert "15 runs" in values["count"] and "0 of 10 runs" in values["status"] and not jobs.words
    values = first(tab.handlers.begin(visit("w"), *form(tab, seeds=3)))
    assert "stop it first" in values["run"] and len(jobs.orders) == 1


def test_a_look_that_was_overtaken_changes_nothing(tab: AblateTab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio would empty the outputs of a generator that gives nothing, after the newer look has filled them."""
    handlers, read = tab.handlers, tab.handlers._read

    def overtaken(window: Any, before: Any) -> Any:
        window.turn += 1
        return read(window, before)

    monkeypatch.setattr(handlers, "_read", overtaken)
    values = awaited(anext(handlers.look(visit("w"), *form(tab))))
    assert values == [gr.skip()] * len(OUTPUTS)


def test_a_form_that_a_link_fills_is_answered_when_it_is_full(tab: AblateTab) -> None:
    """Texts tell of their change before the other fields are filled."""
    tab.read_link(AblateLink(seeds=2), "w")
    half = awaited(anext(tab.handlers.look(visit("w"), *form(tab, seeds=3))))
    assert half == [gr.skip()] * len(OUTPUTS)
    assert "3 seeds" in first(tab.handlers.look(visit("another"), *form(tab, seeds=3)))["count"]
    for handler, seeds in ((tab.handlers.restore, 2), (tab.handlers.look, 4)):
        assert f"{seeds} seeds" in first(handler(visit("w"), *form(tab, seeds=seeds)))["count"]


def test_a_form_that_is_checked_late_does_not_replace_a_newer_one(
    tab: AblateTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two forms at once, as when a link fills the fields: the first is checked only after the second was shown."""
    check, second_is_shown = tab._form.order, threading.Event()

    def late(values: Any, uploads: Any) -> SweepOrder:
        order = check(values, uploads)
        assert order.seeds == 3 or second_is_shown.wait(LIMIT)
        return order

    async def both() -> tuple[list[Any], list[Any]]:
        older = asyncio.ensure_future(anext(tab.handlers.look(visit("w"), *form(tab, seeds=2))))
        await asyncio.sleep(0)  # it begins
        newer = await anext(tab.handlers.look(visit("w"), *form(tab, seeds=3)))
        second_is_shown.set()
        return await older, newer

    monkeypatch.setattr(tab._form, "order", late)
    for shown in awaited(both()):
        assert "15 runs" in named(shown)["count"]


def test_a_complete_sweep_is_shown_and_not_started(tab: AblateTab, runs: Path) -> None:
    filled(runs, by_depth)
    values = first(tab.handlers.begin(visit("w"), *form(tab)))
    assert "All runs are there." in values["status"] and "Verdict" in values["verdict"]
    assert tab.context.jobs.orders == []  # type: ignore[attr-defined]


def test_stop_tells_the_process(tab: AblateTab) -> None:
    first(tab.handlers.begin(visit("w"), *form(tab)))
    tab.handlers.end(visit("w"))
    tab.handlers.end(visit("another"))
    assert tab.context.jobs.words == ["stop"]  # type: ignore[attr-defined]


def test_the_end_of_a_sweep_ends_the_following(tab: AblateTab) -> None:
    async def follow() -> list[str]:
        seen = []
        async for values in tab.handlers.begin(visit("w"), *form(tab)):
            seen.append(named(values)["status"])
            tab.context.jobs.job.phase = "ended"  # type: ignore[attr-defined]
        return seen

    said = awaited(follow())
    assert "Sweeping." in said[0] and "Press Start." in said[-1]


def test_a_link_with_values_that_the_tab_does_not_have_is_refused(tab: AblateTab) -> None:
    for link in ("?depth=16", "?activation=gelu_new"):
        with pytest.raises(BadInput, match="allowed"):
            tab.read_link(Link.text(link), "w")


@pytest.mark.parametrize(
    "link",
    [
        "?ablate_task=digits&seeds=3&base=neat:rank=4&depth=2&depth=4&activation=relu&activation=gelu&activation=tanh",
        "?ablate_task=teacher:kind=weight-aware&reference=dora&rates=auto&seeds=auto&ablate_steps=20&margin=0.1"
        "&base=neat:rank=2,scaling=0.5,lr=0.01&grid=rank=2,8&grid=size=125,500&depth=3&activation=tanh",
        "?ablate_task=digits&seeds=3&base=lora:rank=4,alpha=8.0&grid=rank=2,4&grid=lr=0.01,0.1",
    ],
)
def test_a_link_is_written_as_it_was_read(link: str, tab: AblateTab) -> None:
    updates = tab.read_link(Link.text(link), "w")
    changes = {id(block): update for block, update in zip(tab.link_outputs, updates, strict=True)}
    values = [changes[id(field)].get("value", field.value) for field in tab.fields.values()]  # type: ignore[attr-defined]
    assert write(tab.write_link(values, "w")) == link
    assert tab.fields["axis.depth"] in tab.link_outputs


def test_an_axis_without_values_is_the_base_arms_own(tab: AblateTab) -> None:
    written = tab.write_link(form(tab, base="neat:rank=4,depth=6", depth=[], activation=[]), "w")
    assert (written["depth"], written["activation"], written["grid"]) == ([6], ["relu"], [])


@pytest.mark.parametrize(
    ("link", "said"), [("?grid=rnk=2", "did you mean 'rank'"), ("?base=neat:depth=3", "even depth")]
)
def test_a_link_with_an_axis_or_arm_that_cannot_be_is_refused(link: str, said: str, tab: AblateTab) -> None:
    with pytest.raises(BadInput, match=said):
        tab.read_link(Link.text(link), "w")


def test_the_hints_of_a_task_ask_for_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neatlab.tasks.pretrained.model_folder", lambda *_: pytest.fail("a model is asked for"))
    for task in task_choices().values():
        steps, margin = _hints(task)
        assert float(steps["placeholder"]) >= 1 and float(margin["placeholder"]) > 0


def test_the_axes_are_those_of_the_arm_and_the_task(tab: AblateTab) -> None:
    def shown(task: str, base: str) -> list[str]:
        updates = tab.read_link(Link.text(f"?ablate_task={task}&base={base}"), "w")
        axes = updates[6 : 6 + len(AXES)]
        return [name for name, update in zip(AXES, axes, strict=True) if update["visible"]]

    assert shown("digits", "lora:rank=4") == ["rank", "lr", "layers", "modules", "alpha", "train_size"]
    assert shown(TEACHER, "full") == ["lr", "size", "train_size"]
    assert "orientation" in shown("digits", "neat:rank=4")


SERVER = """
import os, sys, threading
from neatlab.dashboard.shared.jobs import Jobs
from neatlab.dashboard.sweeps.request import SweepOrder
if __name__ == "__main__":
    settings = {"seeds": 2, "steps": 20}
    order = SweepOrder.check("teacher:kind=weight-aware", "neat:rank=4", {"depth": [2]}, settings)
    Jobs(sys.argv[1]).submit("neatlab.dashboard.sweeps.worker:run", order, detached=True)
    threading.Event().wait()
else:  # where trainings are forked from, and in the sweep's workers
    from tests.gate import install
    install(os.environ["NEATLAB_TEST_GATE"])
"""


@pytest.mark.cluster
def test_a_killed_server_takes_its_sweep_along(tmp_path: Path) -> None:
    script, runs = tmp_path / "server.py", tmp_path / "runs"
    script.write_text(SERVER)
    environment = {"PYTHONPATH": str(ROOT), "NEATLAB_TEST_GATE": Gate(tmp_path).path}
    server = subprocess.Popen([sys.executable, str(script), str(runs)], env={**os.environ, **environment})
    try:
        wait_until(lambda: server.poll() is not None or any(runs.glob("*/events.jsonl")))
        family = descendants(server.pid)
        assert len(family) >= 4
    finally:
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    wait_until(lambda: not any(map(is_alive, family)))


def descendants(pid: int) -> list[psutil.Process]:
    """The process and everything below it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]

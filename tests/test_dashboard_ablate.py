"""The Ablate tab without a browser: what it lets through, what it shows of a store, and that a sweep ends when told."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import orjson
import psutil
import pytest

from neatlab.adapters.activations import COMPARED
from neatlab.config import RunConfig
from neatlab.dashboard.ablate.request import MAX_RUNS, FieldError, SweepOrder
from neatlab.dashboard.ablate.tab import AblateTab
from neatlab.dashboard.ablate.view import EMPTY, draw_sweep, read_sweep, resting, run_count
from neatlab.dashboard.ablate.worker import sweep
from neatlab.dashboard.links import Link
from neatlab.dashboard.shared.context import Context
from neatlab.errors import BadInput
from neatlab.experiments.sweep import Sweep
from neatlab.runs.store import Store
from tests.awaiting import awaited
from tests.gate import Gate
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
TEACHER = "teacher:kind=weight-aware"
GOOD: dict[str, Any] = {
    "task": TEACHER,
    "base": "neat:rank=4",
    "depths": [2, 4],
    "activations": ["relu", "tanh"],
    "seeds": 2,
    "steps": "5",
}

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown task": ({"task": "teacher:kind=weight-aware,d_in=4096"}, "run", "unknown task"),
    "a path as a task": ({"task": "../../etc"}, "run", "unknown task"),
    "no arm": ({"base": "neet:rank=4"}, "base", "did you mean 'neat'"),
    "an arm without depth": ({"base": "lora:rank=4"}, "base", "lora has no activation and no depth"),
    "an arm that is no text": ({"base": 4}, "base", "such as neat:rank=4"),
    "a very long arm": ({"base": "neat:" + "x" * 1000}, "base", "at most 200 characters"),
    "rank above the page's": ({"base": "neat:rank=4000"}, "base", "rank=4000"),
    "odd depth": ({"depths": [2, 3, 5]}, "depth", "depth 3, 5 cannot be built"),
    "no depth": ({"depths": []}, "depth", "at least one depth"),
    "depth out of range": ({"depths": [64]}, "depth", "allowed: 2, 3"),
    "depth of another type": ({"depths": {"a": 1}}, "depth", "at least one depth"),
    "depth true": ({"depths": [True]}, "depth", "allowed: 2"),
    "no activation": ({"activations": None}, "activation", "at least one activation"),
    "unknown activation": ({"activations": ["<script>"]}, "activation", "allowed: relu"),
    "no seed": ({"seeds": 0}, "run", "seeds=0"),
    "many seeds": ({"seeds": 6}, "run", "seeds=6"),
    "margin below 0": ({"margin": "-0.1"}, "run", "margin='-0.1'"),
    "margin in words": ({"margin": "small"}, "run", "margin='small'"),
    "seeds in words": ({"seeds": "three"}, "run", "seeds='three'"),
    "seeds without a value": ({"seeds": None}, "run", "give 1 to 5, or auto"),
    "too many arms for a first look": (
        {"base": "neat:residual=none", "depths": [2, 3, 4, 5, 6, 7], "activations": list(COMPARED), "seeds": "auto"},
        "run",
        f"{(6 * len(COMPARED) + 1) * 3} runs; at most {MAX_RUNS}",
    ),
    "many steps": ({"steps": 10**6}, "run", "steps=1000000"),
    "no steps": ({"steps": "0"}, "run", "steps='0'"),
    "many runs": (
        {"depths": [2, 4, 6, 8], "activations": list(COMPARED), "seeds": 5},
        "run",
        f"{(4 * len(COMPARED) + 1) * 5} runs; at most {MAX_RUNS}",
    ),
}


def checked(**changes: Any) -> SweepOrder:
    return SweepOrder.check(*{**GOOD, **changes}.values())


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_swept_is_refused_where_the_mistake_is(case: str) -> None:
    changes, place, said = REFUSED[case]
    with pytest.raises(FieldError) as refusal:
        checked(**changes)
    assert (refusal.value.field, said in str(refusal.value)) == (place, True), str(refusal.value)


def test_the_way_out_of_an_odd_depth_works() -> None:
    with pytest.raises(FieldError) as refusal:
        checked(depths=["3"])
    arm = str(refusal.value).rpartition(": ")[2]
    assert checked(depths=["3"], base=arm).depths == (3,)


@pytest.mark.parametrize(
    "base", ["neat:rank=4", "neat:rank=2,residual=none,lr=0.01", "neat:rank=4,depth=6,scaling=0.5"]
)
def test_the_runs_are_those_of_the_sweep(base: str, runs: Path) -> None:
    order = checked(base=base)
    asked = Sweep(
        order.task,
        [order.base],
        order.grid,
        seeds=order.seeds,
        reference=order.reference,
        training=order.training,
        runs=runs,
    )
    assert [config.run_id for config in order.runs()] == [config.run_id for config in asked.configs]


def test_the_same_grid_in_another_order_is_the_same_sweep() -> None:
    assert checked(depths=["4", 2, 2], activations=["tanh", "relu"], seeds="2", steps=5) == checked()


def test_the_reference_shares_rank_and_learning_rate() -> None:
    assert checked(base="neat:rank=3,lr=0.01,depth=4").reference == "lora:rank=3,lr=0.01"


def test_an_empty_number_of_steps_is_the_tasks_own() -> None:
    assert {config.training.steps for config in checked(steps=" ").runs()} == {600}


def stored(store: Store, config: RunConfig, metric: float | None) -> None:
    """A run as if it had been trained."""
    writer = store.start(config)
    summary = {"status": "finished", "seconds": 1.0, "seconds_per_step": 0.1, "metric": metric}
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
    assert draw_sweep(seen) == EMPTY
    assert "10 runs" in run_count(seen) and "holds 0 of them" in run_count(seen)


def test_cells_that_are_not_there_yet_stay_empty(runs: Path) -> None:
    order, store = checked(), Store(runs)
    for config in order.runs()[:3]:  # the reference's two seeds and one of depth 2, relu
        stored(store, config, by_depth(config))
    drawn = draw_sweep(read_sweep(order, store))
    trace = orjson.loads(str(drawn.heat))["figure"]["data"][0]
    assert (trace["x"], trace["y"]) == (["relu", "tanh"], ["2", "4"])
    assert trace["z"] == [[pytest.approx(0.3), None], [None, None]]
    assert trace["text"][0][0] == "0.300<br>1 of 2 seeds"
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
    caption = orjson.loads(str(drawn.heat))["caption"]
    assert "4 of 4 cells" in caption and "(depth 2, relu) to" in caption


@pytest.mark.parametrize("depths", [[2], [2, 4]])
def test_few_arms_are_held_against_the_reference_too(depths: list[int], runs: Path) -> None:
    """Of up to three arms the comparison names pairs in its own order; the table's sign is always arm − reference."""
    order, store = filled(runs, by_depth, depths=depths, activations=["relu"], seeds=4)
    verdict = draw_sweep(read_sweep(order, store)).verdict
    row = verdict.partition("depth=2</th>")[2].partition("</tr>")[0]
    assert "<td>-0.19" in row and ">better<" in row


def test_until_it_is_decided_more_seeds_are_wanted_after_each_look_that_decides_nothing(runs: Path) -> None:
    order, store = checked(seeds="auto", depths=[2], activations=["relu"]), Store(runs)
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
    order, store = checked(seeds="auto", depths=[2], activations=["relu"]), Store(runs)
    for config in order.runs():
        if config.seed < 3:
            stored(store, config, by_depth(config) - (4 if config.arm.options.get("depth") else 0))
    seen = read_sweep(order, store)
    assert (seen.total, seen.complete) == (6, True)
    drawn = draw_sweep(seen)
    decision = drawn.verdict.partition('<p class="decision">')[2].partition("</p>")[0].replace("<wbr>", "")
    assert decision.startswith("Take neat:rank=4,depth=2: it is better than lora:rank=4 in")
    assert "6 of" not in drawn.verdict and "Decided" in resting(seen)


def test_the_runs_wanted_are_those_that_the_sweep_trains(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page computes from the store and what the sweep's process does must not differ."""
    order, store = checked(seeds="auto", depths=[2, 4], activations=["relu"]), Store(runs)
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
    assert orjson.loads(str(drawn.heat))["figure"]["data"][0]["z"][0][1] is None


def test_all_diverged_leaves_the_charts_empty(runs: Path) -> None:
    order, store = filled(runs, lambda c: None)
    drawn = draw_sweep(read_sweep(order, store))
    assert (drawn.heat, drawn.scores) == (None, None) and "diverged" in drawn.verdict


def test_many_arms_leave_the_best_in_the_chart(runs: Path) -> None:
    changes = {"depths": [2, 4, 6], "activations": ["relu", "gelu", "silu", "tanh"], "seeds": 2}
    order, store = filled(runs, lambda c: c.arm.options.get("depth", 1) / 10 + c.seed / 100, **changes)
    scores = orjson.loads(str(draw_sweep(read_sweep(order, store)).scores))
    assert len(scores["figure"]["data"]) == 10 and "the best 9 of 12 others" in scores["caption"]


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


def first(stream: Any) -> list[Any]:
    return awaited(anext(stream))


def test_start_refuses_beside_the_field_and_queues_nothing(tab: AblateTab) -> None:
    values = first(tab._begin(visit("w"), *{**GOOD, "depths": [3]}.values()))
    assert ['role="alert"' in value for value in values[:4]] == [False, True, False, False]
    assert tab.context.jobs.orders == []  # type: ignore[attr-defined]


def test_a_second_window_and_a_reload_find_the_running_sweep(tab: AblateTab) -> None:
    jobs: Any = tab.context.jobs
    first(tab._begin(visit("one"), *GOOD.values()))
    assert "Sweeping." in first(tab._look(visit("two"), *GOOD.values()))[6]
    first(tab._begin(visit("three"), *GOOD.values()))
    assert len(jobs.orders) == 1


def test_a_changed_form_leaves_the_running_sweep_alone(tab: AblateTab) -> None:
    jobs: Any = tab.context.jobs
    first(tab._begin(visit("w"), *GOOD.values()))
    values = first(tab._look(visit("w"), *{**GOOD, "seeds": 3}.values()))
    assert "15 runs" in values[4] and "0 of 10 runs" in values[6] and not jobs.words
    values = first(tab._begin(visit("w"), *{**GOOD, "seeds": 3}.values()))
    assert "stop it first" in values[3] and len(jobs.orders) == 1


def test_a_complete_sweep_is_shown_and_not_started(tab: AblateTab, runs: Path) -> None:
    filled(runs, by_depth)
    values = first(tab._begin(visit("w"), *GOOD.values()))
    assert "All runs are there." in values[6] and "Verdict" in values[9]
    assert tab.context.jobs.orders == []  # type: ignore[attr-defined]


def test_stop_tells_the_process(tab: AblateTab) -> None:
    first(tab._begin(visit("w"), *GOOD.values()))
    tab._end(visit("w"))
    tab._end(visit("another"))
    assert tab.context.jobs.words == ["stop"]  # type: ignore[attr-defined]


def test_the_end_of_a_sweep_ends_the_following(tab: AblateTab) -> None:
    async def follow() -> list[str]:
        seen = []
        async for values in tab._begin(visit("w"), *GOOD.values()):
            seen.append(values[6])
            tab.context.jobs.job.phase = "ended"  # type: ignore[attr-defined]
        return seen

    said = awaited(follow())
    assert "Sweeping." in said[0] and "Press Start." in said[-1]


def test_a_link_with_values_that_the_tab_does_not_have_is_refused(tab: AblateTab) -> None:
    for link in ("?depth=16", "?activation=gelu_new"):
        with pytest.raises(BadInput, match="allowed"):
            tab.read_link(Link.text(link), "w")
    updates = tab.read_link(Link.text("?tab=ablate&depth=2&depth=6&ablate_steps=20"), "w")
    assert updates[2]["value"] == [2, 6] and updates[5]["value"] == 20


SERVER = """
import os, sys, threading
from neatlab.dashboard.shared.jobs import Jobs
from neatlab.dashboard.ablate.request import SweepOrder
if __name__ == "__main__":
    order = SweepOrder.check("teacher:kind=weight-aware", "neat:rank=4", [2], ["relu"], 2, 20)
    Jobs(sys.argv[1]).submit("neatlab.dashboard.ablate.worker:run", order, detached=True)
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
    wait_until(lambda: not any(map(alive, family)))


def descendants(pid: int) -> list[psutil.Process]:
    """The process and everything below it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE

"""The answer with seeds on the Train tab: what is asked, how far it is, and that it is `neatlab.compare`'s."""

import html
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import neatlab
from neatlab.config import RunConfig, make_run, parse_arm
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.sweeps.snapshot import read_sweep
from neatlab.dashboard.train.answer import answer
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.follow import update
from neatlab.dashboard.train.request import Order
from neatlab.dashboard.train.snapshot import RunsSnapshot, read_runs
from neatlab.dashboard.train.verdict import Verdict, ask, decision, order_of
from neatlab.dashboard.train.window import TrainWindow
from neatlab.errors import BadInput
from neatlab.experiments.execute import execute
from neatlab.runs.store import Store
from neatlab.runtime.numbers import signed, signed_interval

OPTIONS = {"d_in": "12", "d_out": "8", "samples": "40"}
TASK = "teacher:d_in=12,d_out=8,samples=40"
ARMS = ("lora:rank=2", "neat:rank=2")
TRAINING = {"steps": 4, "batch_size": 16}


class NoJobs:
    """Jobs of which none is there, and which note what is submitted."""

    def __init__(self) -> None:
        self.orders: list[Any] = []

    def find(self, entry: str, order: Any) -> None:
        return None

    def submit(self, entry: str, order: Any, **about: Any) -> Any:
        self.orders.append(order)
        return SimpleNamespace(phase="running", refusal=None, touch=lambda: None, order=order)

    def position(self, job: Any) -> int:
        return 0


@pytest.fixture
def lab(runs: Path) -> Context:
    return Context(Store(runs), NoJobs())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, RunsSnapshot, neatlab.Comparison]:
    """A store that holds all that is asked for, the window's runs, and what the library says of them."""
    lab = Context(Store(tmp_path_factory.mktemp("runs")), NoJobs())  # type: ignore[arg-type]
    settings: dict[str, Any] = {"seeds": "auto", "max_seeds": order_of(configs(*ARMS)).max_seeds, "lr": "auto"}
    whole = neatlab.compare(TASK, ARMS, steps=4, training={"batch_size": 16}, runs=lab.store.root, **settings)
    return lab, trained(lab, configs(*ARMS)), whole


def configs(*arms: str, **training: Any) -> list[RunConfig]:
    return [make_run("teacher", parse_arm(arm), 0, OPTIONS, TRAINING | training) for arm in arms]


def trained(lab: Context, wanted: list[RunConfig]) -> RunsSnapshot:
    for config in wanted:
        list(execute(config, lab.store))
    return read_runs(wanted, Feed(lab.store.root))


@pytest.mark.parametrize("arms", [ARMS, ("lora:rank=2", "neat:rank=2", "neat:rank=2,depth=4")])
def test_it_asks_for_the_arms_as_they_were_trained_each_at_its_own_rate(arms: tuple[str, ...]) -> None:
    asked = order_of(configs(*arms))
    assert [cell.arm.label for cell in asked.cells] == [parse_arm(arm).label for arm in arms]
    assert (asked.seeds, asked.rates) == ("auto", "auto")
    assert {(run.training.steps, run.training.batch_size) for run in asked.runs()} == {(4, 16)}
    assert asked.within_limits() == asked


def test_a_rate_that_was_chosen_stays() -> None:
    asked = order_of(configs(*ARMS, lr=0.05))
    assert asked.rates is None
    assert {cell.arm.lr for cell in asked.cells} == {0.05}


def test_one_arm_and_arms_that_have_not_begun_are_refused(lab: Context) -> None:
    seen = trained(lab, configs(ARMS[0]))
    for asked in (1, 2):
        with pytest.raises(BadInput, match="train the arms first"):
            ask(seen.runs, asked, lab, None, "")


def test_before_and_while_it_asks(lab: Context) -> None:
    seen = trained(lab, configs(*ARMS))
    assert re.search(r"data-find-out[^>]*>Find out \(\d+ s to \d+ s\)<", answer(seen, None, None, lab))
    asked = ask(seen.runs, 2, lab, None, "")
    assert lab.jobs.orders == [asked.order]  # type: ignore[attr-defined]
    asked.look(lab.store)
    total = asked.order.search_count + 2 * 3
    said = answer(seen, None, asked, lab)
    assert f"rate is searched for: 0 of {total} runs" in said and ">Stop<" in said
    assert asked.whole is None and decision(asked) == ""
    asked.job.phase = "ended"  # type: ignore[union-attr]
    asked.look(lab.store)
    assert asked.is_over and ">Go on<" in answer(seen, None, asked, lab)
    asked.job.refusal = BadInput("no room")  # type: ignore[union-attr, assignment]
    assert "no room" in answer(seen, None, asked, lab)


def test_the_answer_is_that_of_the_library(answered: tuple[Context, RunsSnapshot, neatlab.Comparison]) -> None:
    lab, seen, whole = answered
    asked = ask(seen.runs, 2, lab, None, "")
    assert asked.job is None and not lab.jobs.orders  # type: ignore[attr-defined]
    asked.look(lab.store)
    (found,), (wanted,) = asked.whole.differences(), whole.differences()  # type: ignore[union-attr]
    assert (found.mean, found.ci95, found.verdict) == (wanted.mean, wanted.ci95, wanted.verdict)
    said = answer(seen, None, asked, lab)
    words = {"better": "is better", "as-good": "as good", "not-worse": "not worse", "undecided": "undecided"}
    assert words[wanted.verdict] in said
    assert f"{signed(wanted.mean)}</span>" in said and f"95 % interval {signed_interval(*wanted.ci95)};" in said
    assert f"{max(arm.finished for arm in whole.arms())} seeds" in said
    assert whole.decision() in html.unescape(decision(asked))


def test_the_bar_puts_each_arm_on_the_side_where_it_is_better(
    answered: tuple[Context, RunsSnapshot, neatlab.Comparison],
) -> None:
    lab, seen, whole = answered
    asked = ask(seen.runs, 2, lab, None, "")
    asked.look(lab.store)
    (one,) = whole.differences()
    assert not whole.metric.higher_is_better
    said = answer(seen, None, asked, lab)
    sides = re.search(r"left of zero (.+?) is better, right of it (.+?)\"", said)
    assert sides and [side.split()[0].lower() for side in sides.groups()] == [one.a[:4], one.b[:4]]
    mean = float(re.search(r'class="mean" d="M([\d.]+)', said)[1])  # type: ignore[index]
    assert (mean > 50) == (one.mean > 0)  # an error: more of it is worse for a, and b stands on the right


def test_a_window_shows_it_until_another_order_is_shown(
    answered: tuple[Context, RunsSnapshot, neatlab.Comparison],
) -> None:
    lab, seen, whole = answered
    order = Order(task=seen.runs[0].config.spec, arms=ARMS, **TRAINING)
    window = TrainWindow(Feed(lab.store.root), order, None, tuple(run.config for run in seen.runs))
    window.verdict = ask(seen.runs, 2, lab, window, "")
    assert window.is_asking
    window.verdict.look(lab.store)
    assert not window.is_asking
    now = update(window, lab)
    assert "verdict-bar" in now.status and whole.decision() in html.unescape(now.table)
    window.show(order, None)
    assert window.verdict is None


def test_what_is_said_changes_with_the_runs_alone(lab: Context) -> None:
    order = order_of(configs(*ARMS))
    asked = Verdict(order, SimpleNamespace(phase="running", touch=lambda: None), None)  # type: ignore[arg-type]
    asked.look(lab.store)
    assert asked.mark == (0, False)
    trained(lab, configs(*ARMS))
    asked.due = 0.0
    asked.look(lab.store)
    assert asked.mark == (len(read_sweep(order, lab.store).ended), False)

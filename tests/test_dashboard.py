"""The dashboard without a browser: the form, the race, the windows, the pace, the pictures."""

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from neatlab.adapters.methods import METHODS
from neatlab.config import RunConfig, make_arm, make_run
from neatlab.dashboard import build, launch
from neatlab.dashboard.form import TASK_CHOICES, Refusal, Request, read_form
from neatlab.dashboard.race import Claims, race
from neatlab.dashboard.server import theme
from neatlab.dashboard.sessions import Session, Sessions
from neatlab.dashboard.training import DRAWING_SHARE, Pace, Update, follow, update
from neatlab.dashboard.view import number, picture
from neatlab.errors import BadInput, StoreError
from neatlab.events import RunFinished, RunStarted, Step
from neatlab.lab import execute, parse_task
from neatlab.store import Store
from neatlab.tasks import TASKS

FORM: dict[str, Any] = {
    "task": "digits",
    "steps": 150,
    "lr": "",
    "seed": 0,
    "a.method": "lora",
    "a.rank": 4,
    "a.alpha": "",
    "b.method": "neat",
    "b.rank": 4,
    "b.depth": 2,
    "b.activation": "relu",
    "b.residual": "paired",
    "b.orientation": "out",
    "b.conditioning": "weight",
    "b.scaling": 1,
    "b.frequency": 1,
}
SMALL = {"d_in": 16, "d_out": 8, "samples": 64}


def tiny(method: str, steps: int = 6, seed: int = 0, **training: Any) -> RunConfig:
    """A run that takes milliseconds: a small linear teacher."""
    settings = {"steps": steps, "eval_every": 3, "spectrum_every": 3, **training}
    return make_run("teacher", make_arm(method, {"rank": 2}), seed, SMALL, settings)


def pair(**settings: Any) -> tuple[RunConfig, RunConfig]:
    return tiny("lora", **settings), tiny("neat", **settings)


def stored_steps(store: Store, config: RunConfig) -> int:
    lines = (store.root / config.run_id / "events.jsonl").read_bytes().splitlines()
    return sum(orjson.loads(line)["type"] == "Step" for line in lines)


class TestForm:
    def test_the_form_as_it_is_gives_the_runs_of_the_command_line(self) -> None:
        asked = read_form(FORM)
        lora, neat = make_arm("lora", {"rank": 4}), make_arm("neat", {"rank": 4})
        assert asked.configs == tuple(make_run("digits", arm, 0, {}, {"steps": 150}) for arm in (lora, neat))
        assert asked.configs[0].training.lr == TASKS["digits"].training["lr"]
        command = "--task digits --arm lora:rank=4 --arm neat:rank=4,depth=2 --steps 150 --seeds 3"
        assert asked.command == f"python -m neatlab compare {command}"

    def test_a_learning_rate_goes_to_both_arms(self) -> None:
        asked = read_form({**FORM, "lr": "0.005"})
        assert {config.training.lr for config in asked.configs} == {0.005}
        assert asked.command.endswith("--lr 0.005 --seeds 3")

    @pytest.mark.parametrize("text", TASK_CHOICES.values())
    def test_every_task_on_offer_exists(self, text: str) -> None:
        name, options = parse_task(text)
        config = read_form({**FORM, "task": text}).configs[0]
        assert (config.task, config.task_options | options) == (name, config.task_options)

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_can_be_an_arm_with_its_defaults(self, method: str) -> None:
        defaults = {f"b.{name}": value for name, value in METHODS[method].options().model_dump().items()}
        asked = read_form({**FORM, "a.rank": 3, **defaults, "b.method": method})
        assert asked.configs[1].arm == make_arm(method, {})

    @pytest.mark.parametrize(
        ("values", "part", "said"),
        [
            ({"b.depth": 3}, "b", "even depth"),
            ({"b.depth": 0}, "b", "depth=2 here"),
            ({"b.depth": 17}, "b", "depth=17: input should be less than or equal to 16"),
            ({"b.rank": 0}, "b", "rank=0: input should be greater than or equal to 1"),
            ({"b.rank": 513}, "b", "less than or equal to 512"),
            ({"a.rank": 2.5}, "a", "rank=2.5"),
            ({"a.rank": None}, "a", "rank=None"),
            ({"a.alpha": "-1"}, "a", "alpha='-1'"),
            ({"b.activation": "rellu"}, "b", "did you mean 'relu'"),
            ({"a.method": "lorra"}, "a", "did you mean 'lora'"),
            ({"b.method": "lora"}, "b", "both arms are lora:rank=4"),
            ({"task": "digts"}, "run", "did you mean 'digits'"),
            ({"steps": 5001}, "run", "less than or equal to 5000"),
            ({"steps": 0}, "run", "greater than or equal to 1"),
            ({"lr": "nan"}, "run", "finite"),
            ({"lr": "-0.1"}, "run", "greater than 0"),
            ({"lr": "fast"}, "run", "valid number"),
            ({"seed": -1}, "run", "seed=-1"),
            ({"seed": 0.5}, "run", "seed=0.5"),
        ],
    )
    def test_a_mistake_is_named_with_its_place(self, values: dict[str, Any], part: str, said: str) -> None:
        with pytest.raises(Refusal, match=re.escape(said)) as caught:
            read_form({**FORM, **values})
        assert caught.value.part == part
        assert "\n" not in str(caught.value)
        assert "{" not in str(caught.value)


class TestRace:
    def test_the_arms_take_turns_and_both_finish(self, runs: Path) -> None:
        store, configs = Store(runs), pair()
        seen = list(race(configs, store, threading.Event()))
        assert [index for index, event in seen if isinstance(event, Step)] == [0, 1] * 6
        assert sum(isinstance(event, RunFinished) for _, event in seen) == 2
        assert [store.get(config.run_id).status for config in configs] == ["finished", "finished"]

    def test_taking_turns_gives_what_each_run_gives_alone(self, runs: Path, tmp_path: Path) -> None:
        config = tiny("neat")
        alone = [event.loss for event in execute(config, Store(tmp_path / "alone")) if isinstance(event, Step)]
        raced = race((tiny("lora"), config), Store(runs), threading.Event())
        assert [event.loss for index, event in raced if index == 1 and isinstance(event, Step)] == alone

    @pytest.mark.parametrize("after", [1, 4])
    def test_stop_ends_both_before_their_next_step(self, runs: Path, after: int) -> None:
        store, configs, stop, steps = Store(runs), pair(steps=50), threading.Event(), 0
        for _, event in race(configs, store, stop):
            steps += isinstance(event, Step)
            if steps == after:
                stop.set()
        assert sum(stored_steps(store, c) for c in configs if (runs / c.run_id).exists()) == after
        assert store.finished(configs[0]) is None
        assert store.finished(configs[1]) is None

    def test_closing_it_leaves_both_unfinished(self, runs: Path) -> None:
        store, configs = Store(runs), pair(steps=50)
        running = race(configs, store, threading.Event())
        while not isinstance(next(running)[1], Step):
            pass
        running.close()  # type: ignore[attr-defined]
        assert stored_steps(store, configs[0]) == 1
        assert store.get(configs[0].run_id).status == "interrupted"

    def test_a_finished_run_is_left_as_it_is(self, runs: Path) -> None:
        store, configs = Store(runs), pair()
        first = [event for event in execute(configs[0], store) if isinstance(event, RunStarted)]
        assert len(first) == 1
        assert {index for index, _ in race(configs, store, threading.Event())} == {1}
        assert list(race(configs, store, threading.Event())) == []


class TestClaims:
    def test_a_run_is_held_by_one(self) -> None:
        claims, (lora, neat) = Claims(), pair()
        with claims.hold([lora]):
            busy = pytest.raises(BadInput, match=f"run {lora.run_id} is being trained in another window")
            with busy, claims.hold([lora, neat], patience=0):
                pytest.fail("held twice")
            with claims.hold([neat], patience=0):
                pass
        with claims.hold([lora, neat], patience=0):
            pass

    def test_one_waits_for_a_holder_that_lets_go(self) -> None:
        claims, configs, got = Claims(), pair(), threading.Event()

        def wait() -> None:
            with claims.hold(configs, patience=10):
                got.set()

        with claims.hold(configs):
            waiting = threading.Thread(target=wait)
            waiting.start()
            assert not got.wait(0.2)
        waiting.join(timeout=5)
        assert got.is_set()


class TestSessions:
    def test_beginning_again_stops_the_old_training_and_keeps_the_layer(self) -> None:
        sessions, request = Sessions(), Request(pair(), "command")
        first = sessions.begin("window", request)
        first.layer = "q"
        second = sessions.begin("window", request)
        assert (first.stop.is_set(), second.stop.is_set(), second.layer) == (True, False, "q")
        assert sessions.get("window") is second

    def test_closing_a_window_stops_its_training_and_no_other(self) -> None:
        sessions, request = Sessions(), Request(pair(), "command")
        mine, other = sessions.begin("mine", request), sessions.begin("other", request)
        sessions.end("mine")
        sessions.end("never opened")
        assert (mine.stop.is_set(), other.stop.is_set()) == (True, False)
        assert sessions.get("mine") is not mine


def asked(**settings: Any) -> Session:
    return Session(request=Request(pair(**settings), "command"))


class TestFollow:
    def test_the_last_update_holds_the_numbers_of_the_store(self, runs: Path) -> None:
        store, session = Store(runs), asked()
        *_, last = follow(session, store, Claims())
        assert "Done." in last.status
        assert 'max="6" value="6"' in last.status
        for config in pair():
            summary = store.get(config.run_id).summary
            assert f"<td>{summary['metric']:.4f}</td>" in last.table
            assert f"<td>{summary['adapter_params']}</td>" in last.table
        figure = orjson.loads(last.charts.learning or "")["figure"]
        losses = [e["loss"] for e in store.get(pair()[0].run_id).events if e["type"] == "Step"]
        assert figure["data"][0]["y"] == pytest.approx(losses)
        assert figure["layout"]["uirevision"] == "-".join(config.run_id for config in pair())
        assert last.layer == last.layers[0] == "layers.0.linear"

    def test_finished_runs_are_shown_and_said_to_be_old(self, runs: Path) -> None:
        store = Store(runs)
        list(follow(asked(), store, Claims()))
        updates = list(follow(asked(), store, Claims()))
        assert len(updates) == 2
        assert "2 of 2 runs shown from the runs folder" in updates[-1].status
        assert updates[-1].table.count("from the runs folder") == 2

    def test_stop_is_heard(self, runs: Path) -> None:
        store, session, updates = Store(runs), asked(steps=4000), list[Update]()
        for now in follow(session, store, Claims()):
            updates.append(now)
            if len(updates) == 3:
                session.stop.set()
        assert "Stopped." in updates[-1].status
        assert all(not (runs / c.run_id / "summary.json").exists() for c in pair(steps=4000))

    def test_stopped_while_it_waited_trains_nothing(self, runs: Path) -> None:
        session = asked()
        session.stop.set()
        (only,) = follow(session, Store(runs), Claims())
        assert "Stopped before the first step" in only.status
        assert not runs.exists()

    def test_a_divergence_is_said(self, runs: Path) -> None:
        session = asked(lr=100.0, steps=60)
        *_, last = follow(session, Store(runs), Claims())
        assert "Diverged: " in last.status
        assert "try a lower learning rate" in last.table

    def test_an_arm_that_does_not_fit_is_refused_under_its_name(self, runs: Path) -> None:
        large = make_run("teacher", make_arm("neat", {"rank": 9}), 0, SMALL, {})
        session = Session(request=Request((tiny("lora"), large), ""))
        with pytest.raises(Refusal, match="rank=9") as caught:
            list(follow(session, Store(runs), Claims()))
        assert caught.value.part == "b"
        assert not runs.exists()

    def test_a_folder_that_cannot_be_written_is_a_message(self, tmp_path: Path) -> None:
        (tmp_path / "runs").write_text("a file")
        with pytest.raises(Refusal) as caught:
            list(follow(asked(), Store(tmp_path / "runs"), Claims()))
        assert caught.value.part == "run"

    def test_an_old_unfinished_directory_is_not_shown(self, runs: Path) -> None:
        store, configs = Store(runs), pair()
        store.start(configs[1]).close()
        list(execute(configs[0], store))
        assert [run.run_id for run in picture(configs, {configs[0].run_id}, store).runs] == [configs[0].run_id]

    def test_nothing_asked_shows_nothing(self, runs: Path) -> None:
        (only,) = follow(Session(), Store(runs), Claims())
        assert "press Train" in only.status
        assert update(Session(), Store(runs)).charts == (None,) * 4


def test_drawing_keeps_to_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("neatlab.dashboard.training.time.monotonic", lambda: now[0])
    pace = Pace()

    def slow() -> Update:
        now[0] += 1.0
        return Update("")

    assert pace.due()
    pace.timed(slow)
    now[0] = 100.0 + 1.0 / DRAWING_SHARE - 0.01
    assert not pace.due()
    now[0] += 0.02
    assert pace.due()


@pytest.mark.parametrize(("value", "said"), [(None, "–"), (float("nan"), "–"), (1234.5, "1,234.50"), (0, "0.00")])
def test_numbers_for_people(value: float | None, said: str) -> None:
    assert number(value, 2) == said


def test_the_page_keeps_no_model_and_names_its_events(runs: Path) -> None:
    demo = build(runs)
    assert not any(type(block).__name__ == "State" for block in demo.blocks.values())
    names = {fn.api_name for fn in demo.fns.values()}
    assert {"begin", "train", "stop", "layer", "task_defaults", "fields_a", "fields_b"} <= names
    (training,) = [fn for fn in demo.fns.values() if fn.api_name == "train"]
    assert (training.concurrency_id, training.concurrency_limit) == ("training", 4)
    assert not runs.exists()


def test_no_font_is_fetched() -> None:
    assert "http" not in "".join(theme()._stylesheets)


def test_a_port_in_use_is_refused(runs: Path) -> None:
    refused = pytest.raises(BadInput, match=r"cannot listen on 127\.0\.0\.1:.*--port")
    with socket.create_server(("127.0.0.1", 0)) as server, refused:
        launch("127.0.0.1", server.getsockname()[1], runs)


def test_a_port_that_is_none_is_refused(runs: Path) -> None:
    with pytest.raises(BadInput, match="99999"):
        launch("127.0.0.1", 99999, runs)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        launch("127.0.0.1", 0, tmp_path / "file" / "runs")


def test_analytics_are_off_before_gradio_is_imported() -> None:
    """With a gradio that cannot be imported, the package gets exactly as far as its import."""
    code = """
import os, sys
sys.modules["gradio"] = None
try:
    import neatlab.dashboard
except ImportError:
    print(os.environ["GRADIO_ANALYTICS_ENABLED"])
"""
    environment = {name: value for name, value in os.environ.items() if name != "GRADIO_ANALYTICS_ENABLED"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"

"""The dashboard without a browser: the updates of a training, the pace, the page, the address."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from neatlab.config import make_arm, make_run
from neatlab.dashboard import build, launch
from neatlab.dashboard.form import Refusal, Request
from neatlab.dashboard.race import Claims
from neatlab.dashboard.server import theme
from neatlab.dashboard.sessions import Session
from neatlab.dashboard.training import DRAWING_SHARE, Pace, Update, follow, update
from neatlab.dashboard.view import number, picture
from neatlab.errors import BadInput, StoreError
from neatlab.lab import execute
from neatlab.store import Store
from tests.dashboard_runs import SMALL, pair, tiny


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


def test_charts_of_the_weights_are_drawn_anew_only_after_a_measurement(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neatlab.dashboard.training.INTERVAL", 0.0)
    monkeypatch.setattr("neatlab.dashboard.training.DRAWING_SHARE", 1e9)  # an update after every event
    updates = list(follow(asked(steps=6), Store(runs), Claims()))
    spectra = {now.charts.spectrum for now in updates if now.charts.spectrum}
    curves = {now.charts.learning for now in updates if now.charts.learning}
    assert len(spectra) <= 2 * 4  # both arms, at steps 0, 3 and 6, and when each begins
    assert len(curves) >= 2 * 6
    assert orjson.loads(updates[-1].charts.spectrum or "")["caption"].startswith("layers.0.linear, step A 6, B 6.")

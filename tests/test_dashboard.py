"""The dashboard without a browser: what a window shows of a training, the page, the address."""

import math
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import gradio as gr
import numpy as np
import orjson
import pandas as pd
import pytest

from neatlab import plots
from neatlab.config import RunConfig, parse_arm
from neatlab.dashboard import build
from neatlab.dashboard.server import check_host, launch, read_auth, theme
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.jobs import Jobs
from neatlab.dashboard.train.charts import TABLE, ChartCache, Charts
from neatlab.dashboard.train.charts.other_layers import other_layers
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.follow import HEARTBEAT, MAX_WAIT, follow, update
from neatlab.dashboard.train.handlers import Handlers
from neatlab.dashboard.train.request import Order
from neatlab.dashboard.train.snapshot import ViewState, read_runs
from neatlab.dashboard.train.window import TrainWindow, leave, resume, send_command, start
from neatlab.errors import BadInput, StoreError
from neatlab.experiments.execute import execute
from neatlab.runs.store import Store
from neatlab.runtime.numbers import number
from tests.dashboard_runs import pair, tiny

TASK = "teacher:kind=low-rank"


@pytest.fixture
def lab(runs: Path) -> Iterator[Context]:
    jobs = Jobs(runs, at_once=1, unwatched_seconds=300)
    jobs.warm_up()
    yield Context(Store(runs), jobs)
    jobs.close()


def order(*arms: str, **settings: Any) -> Order:
    return Order.check(
        TASK, [parse_arm(arm) for arm in arms or ("lora:rank=2", "neat:rank=2")], {"steps": 30, **settings}
    )


def finished(runs: Path, *configs: RunConfig) -> TrainWindow:
    """A window that shows these runs, trained here."""
    for config in configs or pair():
        list(execute(config, Store(runs)))
    return TrainWindow(Feed(runs), order=order(), configs=tuple(configs or pair()))


def changed(before: Charts, after: Charts) -> set[str]:
    """Names of the charts that were drawn anew."""
    return {name for name in TABLE if before[name] is not after[name]}


def numbers(values: list[float | None]) -> list[float]:
    """As JSON has them, null for NaN."""
    return [math.nan if value is None else value for value in values]


@pytest.mark.process
class TestFollow:
    def test_it_ends_with_the_numbers_of_the_store(self, lab: Context) -> None:
        window = TrainWindow(Feed(lab.store.root))
        start(window, lab, order())
        *_, last = follow(window, lab)
        assert "Done." in last.status
        assert 'max="30" value="30"' in last.status
        for config in order().runs():
            summary = lab.store.get(config.run_id).summary
            assert f"<td>{summary['metric']:.4f}</td>" in last.table
            assert f"<td>{summary['adapter_params']:,}</td>" in last.table
        assert last.phase == "ended"
        assert last.layer == last.layers[0]

    def test_finished_runs_are_shown_at_once_and_said_to_be_old(self, lab: Context) -> None:
        for config in order().runs():
            list(execute(config, lab.store))
        window = TrainWindow(Feed(lab.store.root))
        start(window, lab, order())
        (only,) = follow(window, lab)
        assert window.job is None
        assert "2 of 2 runs were stored already" in only.status
        assert only.table.count("from the runs folder") == 2

    def test_an_arm_that_does_not_fit_is_refused_under_its_name(self, lab: Context) -> None:
        window = TrainWindow(Feed(lab.store.root))
        start(window, lab, order("lora:rank=2", "neat:rank=65"))
        list(follow(window, lab))
        assert window.refusal
        assert (window.refusal.field, "rank=65" in str(window.refusal)) == ("b", True)
        assert list(lab.store.root.glob("*")) == []

    def test_equal_parameters_are_worked_out_before_training(self, lab: Context) -> None:
        window = TrainWindow(Feed(lab.store.root))
        start(window, lab, order("lora:rank=4", "neat:rank=4", match="params", steps=2))
        *_, last = follow(window, lab)
        assert last.arms == ("lora:rank=4", "neat:rank=10,depth=2")

    def test_after_a_reload_the_training_is_found_again(self, lab: Context) -> None:
        first, second = TrainWindow(Feed(lab.store.root)), TrainWindow(Feed(lab.store.root))
        assert not resume(second, lab, order())
        start(first, lab, order(steps=5000))
        assert resume(second, lab, order(steps=5000))
        assert second.job is first.job
        assert second.active
        lab.jobs.send(second.active, "stop")
        *_, last = follow(second, lab)
        assert "Stopped" in last.status or "press Train" in last.status

    def test_another_window_watches_and_cannot_stop(self, lab: Context) -> None:
        first, second = TrainWindow(Feed(lab.store.root)), TrainWindow(Feed(lab.store.root))
        start(first, lab, order(steps=5000))
        assert resume(second, lab, order(steps=5000))
        assert not send_command(second, lab, "stop")
        assert update(second, lab).phase == "watching"
        assert first.active
        assert not first.active.stopped
        assert send_command(first, lab, "stop")

    def test_a_reset_is_not_drawn_over_by_what_was_being_drawn(self, lab: Context) -> None:
        window = TrainWindow(Feed(lab.store.root))
        start(window, lab, order(steps=5000))
        running = follow(window, lab)
        next(running)
        leave(window, lab)
        window.follower = None
        assert list(running) == [None]

    def test_the_newer_follower_takes_over(self, lab: Context) -> None:
        window = TrainWindow(Feed(lab.store.root))
        start(window, lab, order(steps=5000))
        older = follow(window, lab)
        next(older)
        newer = follow(window, lab)
        next(newer)
        assert len(list(older)) <= 1
        assert window.active
        lab.jobs.send(window.active, "stop")
        list(newer)

    def test_nothing_asked_shows_nothing(self, lab: Context) -> None:
        (only,) = follow(TrainWindow(Feed(lab.store.root)), lab)
        assert "press Train" in only.status
        assert set(only.charts.values()) == {None}


class TestUpdate:
    def test_one_that_is_overtaken_at_once_still_says_something(
        self, runs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def overtaken(window: TrainWindow, context: Context) -> Any:
            window.follower, window.view = object(), ViewState(at=1)
            return update(window, context)

        monkeypatch.setattr("neatlab.dashboard.train.follow.update", overtaken)
        assert len(list(follow(finished(runs), Context(Store(runs), None)))) == 1  # type: ignore[arg-type]

    def test_a_divergence_is_said(self, runs: Path) -> None:
        window = finished(runs, *pair(lr=100.0, steps=60))
        now = update(window, Context(Store(runs), None))  # type: ignore[arg-type]
        assert "Diverged: " in now.status
        assert "try a lower learning rate" in now.table

    def test_an_arm_that_has_diverged_does_not_hold_the_step(self, runs: Path) -> None:
        lost, fine = tiny("lora", lr=100.0, steps=60), tiny("neat", steps=60)
        now = update(finished(runs, lost, fine), Context(Store(runs), None))  # type: ignore[arg-type]
        assert "Diverged" in now.status
        assert "Step 60 of 60" in now.status

    def test_charts_hold_the_runs_numbers(self, runs: Path) -> None:
        now = update(finished(runs), Context(Store(runs), None))  # type: ignore[arg-type]
        figure = orjson.loads(now.charts["learning"] or "")["figure"]
        (layer,) = orjson.loads(now.charts["others"] or "")
        assert orjson.loads(now.charts["spectrum"] or "")["layer"] == layer == now.layer
        losses = [e["loss"] for e in Store(runs).get(pair()[0].run_id).events if e["type"] == "Step"]
        assert figure["data"][0]["y"] == pytest.approx(losses)
        assert figure["layout"]["uirevision"] == "-".join(config.run_id for config in pair())
        assert "r·(d_in + d_out) a layer, r = 2; layers (out × in): 1 of 8 × 16: 48" in (now.charts["parameters"] or "")

    def test_the_cursor_moves_every_chart_over_time(self, runs: Path) -> None:
        window = finished(runs)
        window.view = ViewState(at=3)
        now = update(window, Context(Store(runs), None)).charts  # type: ignore[arg-type]
        for value in (now["learning"], now["layers"], now["map"]):
            (cursor,) = orjson.loads(value or "")["figure"]["layout"]["shapes"]
            assert (cursor["x0"], cursor["x1"]) == (3, 3)
        assert ", step 3. Largest" in orjson.loads(now["spectrum"] or "")["caption"]
        assert ", step 3: " in orjson.loads(now["map"] or "")["caption"]
        events = [Store(runs).get(config.run_id).events for config in pair()]
        seen = [e["loss"] for own in events for e in own if e["type"] == "Evaluated" and e["step"] == 3]
        said = f"Validation loss at step 3: LoRA r 2: {seen[0]:.4f}; NEAT r 2, depth 2: {seen[1]:.4f}. "
        assert orjson.loads(now["learning"] or "")["caption"].startswith(said)

    def test_a_chart_is_drawn_anew_only_when_what_it_shows_has_changed(self, runs: Path) -> None:
        seen, drawings = read_runs(finished(runs).configs, Feed(runs)), ChartCache()
        events, spectra = seen.size
        first = drawings.charts(seen, ViewState())
        step = drawings.charts(seen._replace(size=(events + 1, spectra)), ViewState())
        measured = drawings.charts(seen._replace(size=(events + 2, spectra + 1)), ViewState())
        back = drawings.charts(seen._replace(size=(events + 2, spectra + 1)), ViewState(at=3))
        of_a_layer = {"layers", "spectrum", "map", "others"}
        assert "learning" in changed(first, step) and not of_a_layer & changed(first, step)
        assert changed(step, measured) >= {"learning"} | of_a_layer
        assert changed(measured, back) >= {"learning"} | of_a_layer

    @pytest.mark.parametrize(("is_drawn", "seconds"), [(True, HEARTBEAT), (False, MAX_WAIT)])
    def test_the_next_one_waits_until_the_page_has_drawn_the_last(
        self, is_drawn: bool, seconds: float, runs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        windows: Windows[TrainWindow] = Windows(lambda: finished(runs))
        context: Any = Context(Store(runs), SimpleNamespace(position=lambda job: 0))  # type: ignore[arg-type]
        handlers, window = Handlers(context, windows, [], [], lambda _: {}), windows.get("w")
        window.job = Job("module:function", None, False, 1, phase="running")
        clock = count(100.0, 0.25)  # seconds, a look at a time
        fake = SimpleNamespace(monotonic=lambda: next(clock), thread_time=lambda: 0.0, sleep=lambda _: None)
        monkeypatch.setattr("neatlab.dashboard.train.follow.time", fake)
        running = follow(window, context)
        next(running)
        begun = next(clock)
        if is_drawn:
            handlers.has_drawn(SimpleNamespace(session_hash="w"))  # type: ignore[arg-type]
        next(running)
        assert next(clock) - begun == pytest.approx(seconds, abs=0.5)

    def test_what_has_been_chosen_from_a_list_meanwhile_stays(self, runs: Path) -> None:
        windows: Windows[TrainWindow] = Windows(lambda: finished(runs))
        context: Any = Context(Store(runs), SimpleNamespace(position=lambda job: 0))  # type: ignore[arg-type]
        handlers, request = Handlers(context, windows, [], [], lambda _: {}), SimpleNamespace(session_hash="w")

        def lists(layer: Any, arm: Any) -> list[dict[str, Any]]:
            return handlers.controls(layer, arm, request)[-2:]  # type: ignore[arg-type]

        first = lists(None, [])  # as the page begins
        (layer,), arms = ([value for _, value in one["choices"]] for one in first)
        assert [one["value"] for one in first] == [layer, arms[-1]]
        assert [one["value"] for one in lists("of other runs", {"no": "text"})] == [layer, arms[-1]]
        assert [one for one in lists(layer, arms[0]) if "value" in one] == []

    def test_an_old_unfinished_directory_is_not_shown_while_the_new_one_is_prepared(self, runs: Path) -> None:
        list(execute(pair()[0], Store(runs)))
        Store(runs).start(pair()[1]).close()
        seen = read_runs(pair(), Feed(runs), ended_only=True)
        assert [run.run_id for run in seen.runs] == [pair()[0].run_id]


class TestOtherLayers:
    """Two layers alike, one with a lower ceiling, one that a single arm adapts."""

    ARMS: ClassVar = {"lora:rank=2": (0.3, 0.2), "neat:rank=2": (0.4, 0.1)}
    LAYERS = ("one", "two", "narrow", "alone")

    def spectra(self) -> pd.DataFrame:
        rows = [
            {"arm": arm, "seed": 0, "step": step, "layer": layer, "dead_units": None}
            | {"singular_values": tuple(np.array(values[: 1 if layer == "narrow" else 2]) * (step + place) / 7)}
            | {"effective_rank": 1.5 + place + step / 9 if step else math.nan, "relative_norm": step / 3 + place}
            for place, layer in enumerate(self.LAYERS)
            for arm, values in self.ARMS.items()
            for step in (0, 4, 8)
            if layer != "alone" or arm.startswith("lora")
        ]
        return pd.DataFrame(rows)

    def kept(self, at: int | None = None) -> dict[str, Any]:
        return orjson.loads(other_layers(self.spectra(), list(self.ARMS), at))

    @pytest.mark.parametrize("at", [None, 5])
    @pytest.mark.parametrize("layer", LAYERS)
    def test_they_have_the_lines_that_the_figures_draw(self, layer: str, at: int | None) -> None:
        arms, kept = list(self.ARMS), self.kept(at)[layer]
        figures = {
            "spectrum": plots.spectrum(self.spectra(), layer, at, arms),
            "layers": plots.layer_curves(self.spectra(), layer, arms=arms),
        }
        for name, figure in figures.items():
            for line, trace in zip(kept[name]["lines"], figure.data, strict=True):
                assert numbers(line) == pytest.approx(trace.y, rel=1e-6, nan_ok=True)
        assert kept["spectrum"]["caption"].startswith(f"{layer}, step {4 if at else 8}. ")

    @pytest.mark.parametrize(("at", "step"), [(None, 8), (5, 4), (3, 0)])
    def test_the_caption_is_of_the_cursors_step_and_warns_of_an_update_that_has_outgrown_its_weight(
        self, at: int | None, step: int
    ) -> None:
        said = self.kept(at)["one"]["layers"]["caption"]
        assert said.startswith(f"In this layer, {'now' if at is None else f'at step {at}'}: ")
        assert f"‖ΔW‖/‖W₀‖: LoRA r 2: {step / 3:.3f}; NEAT r 2: {step / 3:.3f}." in said
        assert ("with LoRA r 2 and with NEAT r 2: this layer is hardly" in said) == (step / 3 >= 0.5)

    def test_only_layers_with_the_same_lines_are_alike(self) -> None:
        likes = {layer: kept["like"] for layer, kept in self.kept().items()}
        assert likes["one"] == likes["two"]
        assert len(set(likes.values())) == 3


class TestFeed:
    def test_it_reads_on_where_it_was_and_anew_when_the_run_is(self, runs: Path) -> None:
        config, feed = tiny("neat", steps=50), Feed(runs)
        running, counts = execute(config, Store(runs)), []
        for _ in range(4):
            next(running)
            found = feed.read(config)
            assert found
            counts.append(len(found.events))
            assert found.events == Store(runs).get(config.run_id).events
        assert counts == [1, 2, 3, 4]
        running.close()  # type: ignore[attr-defined]
        again = execute(config, Store(runs))
        next(again)
        found = feed.read(config)
        assert found
        assert len(found.events) == 1

    def test_a_torn_line_waits_for_its_end(self, runs: Path) -> None:
        config = tiny("neat")
        list(execute(config, Store(runs)))
        path, feed = runs / config.run_id / "events.jsonl", Feed(runs)
        whole = path.read_bytes()
        path.write_bytes(whole[:-5])
        read = feed.read(config)
        assert read
        assert len(read.events) == whole.count(b"\n") - 1
        with open(path, "ab") as file:
            file.write(whole[-5:])
        read = feed.read(config)
        assert read
        assert len(read.events) == whole.count(b"\n")

    def test_no_run_is_none(self, runs: Path) -> None:
        assert Feed(runs).read(tiny("neat")) is None


def test_windows_are_apart_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    windows: Windows[list[str]] = Windows(list)
    windows.get("a").append("x")
    assert windows.get("b") == []
    assert windows.get("a") == ["x"]
    assert windows.end("a") == ["x"]
    assert windows.get("a") == []
    monkeypatch.setattr("neatlab.dashboard.shared.context.FORGET_SECONDS", -1.0)
    windows.get("c")
    assert len(windows) == 1


@pytest.mark.parametrize(("value", "said"), [(None, "–"), (float("nan"), "–"), (1234.5, "1,234.50"), (0, "0.00")])
def test_numbers_for_people(value: float | None, said: str) -> None:
    assert number(value, 2) == said


@pytest.mark.process
def test_an_event_of_which_the_last_call_counts_calls_the_server_once(lab: Context) -> None:
    """Gradio's page starts all handlers of such an event again for a call that came meanwhile: two call without end."""
    handlers: dict[tuple[Any, str], list[str | None]] = {}
    for handler in build(lab).fns.values():
        for block, event in handler.targets if handler.fn else []:
            if block is not None:  # it has an event of its own
                handlers.setdefault((block, event), []).append(handler.trigger_mode)
    modes = [modes for modes in handlers.values() if "always_last" in modes]
    assert len(modes) > 10 and all(len(calls) == 1 for calls in modes)


@pytest.mark.process
@pytest.mark.parametrize(
    ("handlers", "count"),
    [(("look", "begin", "restore"), 6), (("_begin", "_restore"), 2), (("_take_columns", "_use"), 2)],
)
def test_calls_of_which_the_newest_counts_are_begun_in_their_order(
    lab: Context, handlers: tuple[str, ...], count: int
) -> None:
    """Gradio begins the calls of one concurrency id in their order, and those of several in a random one."""
    queued = [fn for fn in build(lab).fns.values() if fn.queue and fn.fn and fn.fn.__name__ in handlers]
    ids = {name: {fn.concurrency_id for fn in queued if fn.fn.__name__ == name} for name in handlers}
    assert len(queued) >= count, ids
    assert len(set().union(*ids.values())) == 1, ids


@pytest.mark.process
def test_the_page_keeps_no_model_and_tells_the_api_four_names(lab: Context) -> None:
    demo = build(lab)
    states = [block for block in demo.blocks.values() if isinstance(block, gr.State)]
    assert all(isinstance(state.value, int) and state.time_to_live for state in states)
    public = {fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"}
    assert public == {"start", "status", "list", "stop"}


@pytest.mark.process
def test_all_handlers_share_one_state_of_progress(lab: Context) -> None:
    """With one of its own for each output, Gradio's page copies a hundred components with every update."""
    assert len({component._id for fn in build(lab).fns.values() for component in fn.show_progress_on}) == 1


def test_no_font_is_fetched() -> None:
    assert "http" not in "".join(theme()._stylesheets)


class TestAddress:
    def test_a_port_in_use_is_refused(self, runs: Path) -> None:
        refused = pytest.raises(BadInput, match=r"cannot listen on 127\.0\.0\.1:.*--port")
        with socket.create_server(("127.0.0.1", 0)) as server, refused:
            launch("127.0.0.1", server.getsockname()[1], runs)

    def test_a_port_that_is_none_is_refused(self, runs: Path) -> None:
        with pytest.raises(BadInput, match="99999"):
            launch("127.0.0.1", 99999, runs)

    def test_a_folder_that_cannot_be_made_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="cannot be written"):
            launch("127.0.0.1", 0, tmp_path / "file" / "runs")

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "lab.example.org"])
    def test_other_machines_need_a_password_or_the_word(self, host: str) -> None:
        with pytest.raises(BadInput, match="--insecure"):
            check_host(host, None, insecure=False)
        check_host(host, ("ann", "secret"), insecure=False)
        check_host(host, None, insecure=True)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
    def test_this_machine_needs_none(self, host: str) -> None:
        check_host(host, None, insecure=False)


class TestAuth:
    def test_it_comes_from_the_environment_or_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NEATLAB_AUTH", raising=False)
        assert read_auth(None, None) is None
        monkeypatch.setenv("NEATLAB_AUTH", "ann:a:b")
        assert read_auth(None, None) == ("ann", "a:b")
        (tmp_path / "auth").write_text("bob:secret\n")
        assert read_auth(None, str(tmp_path / "auth")) == ("bob", "secret")
        assert read_auth("eve:word", None) == ("eve", "word")

    @pytest.mark.parametrize("text", ["ann", ":secret", "ann:"])
    def test_another_form_is_refused_without_repeating_it(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NEATLAB_AUTH", text)
        with pytest.raises(BadInput, match="user:password") as caught:
            read_auth(None, None)
        assert text not in str(caught.value)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="nowhere"):
            read_auth(None, str(tmp_path / "nowhere"))


@pytest.mark.process
def test_the_page_starts_without_the_libraries_that_train() -> None:
    heavy = "('peft', 'transformers', 'sklearn')"
    code = f"import neatlab.dashboard.server, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.process
def test_analytics_are_off_before_gradio_is_imported() -> None:
    """With a gradio that cannot be imported, the package gets exactly as far as its import."""
    code = """
import os, sys
sys.modules["gradio"] = None
try:
    from neatlab.dashboard import build
except ImportError:
    print(os.environ["GRADIO_ANALYTICS_ENABLED"])
"""
    environment = {name: value for name, value in os.environ.items() if name != "GRADIO_ANALYTICS_ENABLED"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"

"""The Inspect tab without a browser: what is shown, and what its window keeps."""

import math
from pathlib import Path
from typing import Any

import gradio as gr
import orjson
import pytest

from neatlab.dashboard.inspect import charts, view
from neatlab.dashboard.inspect import worker as inspect_worker
from neatlab.dashboard.inspect.request import (
    FOLDER,
    RUN,
    UPLOAD,
    WHOLE,
    FieldError,
    InspectionResult,
    InspectOrder,
    ScaleOrder,
    order_scale,
)
from neatlab.dashboard.inspect.tab import InspectTab
from neatlab.dashboard.links import Link
from neatlab.dashboard.server import launch
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.links import write
from neatlab.errors import BadInput
from neatlab.runs.store import Store
from tests.dashboard_inspect import (
    LAYER,
    FakeJobs,
    every,
    found_in,
    make_store,
    make_tab,
    of,
    serve,
    visit,
)

served = pytest.fixture(autouse=True)(serve)
store = pytest.fixture(scope="module")(make_store)
tab = pytest.fixture(make_tab)


@pytest.fixture(scope="module")
def found(store: Store, tmp_path_factory: pytest.TempPathFactory) -> InspectionResult:
    pair = (of(store, "lora").run_id, of(store, "neat").run_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect_worker, "begin", lambda: None)
        patch.setattr(inspect_worker.tempfile, "tempdir", None)
        return found_in(store, InspectOrder(runs=pair), tmp_path_factory.mktemp("target"))


class TestView:
    def test_every_chart_says_its_numbers(self, found: InspectionResult) -> None:
        layer = view.largest(found)
        drawn = [
            charts.spectrum(found, layer),
            charts.energy(found, layer),
            charts.profile(found, "norm"),
            charts.overlap(found),
            charts.intruders(found),
            charts.angles(found, layer),
        ]
        captions = [orjson.loads(chart or "")["caption"] for chart in drawn]
        assert all(any(letter.isdigit() for letter in caption) for caption in captions)
        mean = found.layers.groupby("adapter", sort=False)["overlap_left"].mean()
        assert f"writes {mean.iloc[0]:.3f}" in captions[3]
        smallest = math.degrees(found.angles["angle"].min()) if found.angles is not None else 0
        assert f"{smallest:.1f}°" in captions[5]

    def test_the_energy_is_the_running_sum_of_squares(self, found: InspectionResult) -> None:
        trace = orjson.loads(charts.energy(found, view.largest(found)) or "")["figure"]["data"][0]
        values = found.spectra["singular_values"].iloc[0]
        total = sum(value**2 for value in values)
        wanted = [sum(value**2 for value in values[: i + 1]) / total for i in range(len(values))]
        assert trace["y"] == pytest.approx(wanted)

    def test_the_table_has_a_row_an_adapter_and_layer(self, found: InspectionResult) -> None:
        shown = view.table(found)
        assert shown.count('<th scope="row">') == len(found.layers) == 2
        assert f"{found.layers['norm'].iloc[1]:,.4f}" in shown and "overlap, left" in shown

    def test_names_from_files_are_text(self, found: InspectionResult) -> None:
        evil = "<img src=x onerror=alert(1)>"
        one = found.adapters[0]._replace(title=evil, about=evil)
        bad = found._replace(adapters=[one], layers=found.layers.assign(layer=evil, adapter=evil))
        assert "<img" not in view.verdict(bad) + view.table(bad)

    def test_nothing_open_invites(self) -> None:
        assert view.verdict(None) == view.NOTHING and view.table(None) == view.NO_TABLE
        assert [charts.spectrum(None, None), charts.overlap(None), view.scaling(None, 1.0)] == [None] * 3

    def test_what_cannot_be_scaled_is_refused(self, store: Store, found: InspectionResult) -> None:
        run = of(store, "lora")
        assert order_scale(run, found, "direction", 2.0, WHOLE) == ScaleOrder(run.run_id, 2, None)
        assert order_scale(run, found, "intruders", None, LAYER).layer == LAYER
        wrong: list[tuple[Any, Any, Any]] = [
            ("direction", 0, WHOLE),
            ("direction", 3, WHOLE),
            ("direction", 1.5, WHOLE),
            ("direction", float("nan"), WHOLE),
            ("direction", True, WHOLE),
            ("direction", "1", WHOLE),
            ("everything", 1, WHOLE),
            ("all", 1, "no.such.layer"),
            ("all", 1, None),
        ]
        for part, index, layer in wrong:
            with pytest.raises(FieldError) as refusal:
                order_scale(run, found, part, index, layer)
            assert refusal.value.field == "scale"
        with pytest.raises(FieldError, match="open a finished run"):
            order_scale(None, found, "all", 1, WHOLE)

    @pytest.mark.parametrize("at", [-0.1, 1.1, float("nan"), "0.5", None, True])
    def test_the_slider_stays_on_its_line(self, at: Any) -> None:
        with pytest.raises(BadInput, match="0 to 1"):
            view.factor(at)


class TestTab:
    def test_a_run_is_opened_shown_and_scaled(self, tab: InspectTab, store: Store) -> None:
        run = of(store, "neat")
        first, *_, last = every(tab._begin(visit("w"), RUN, run.run_id, "", None, "", "", ""))
        assert "Opening." in first[5] and first[6]["interactive"] is False
        assert "Done: neat:rank=2,depth=2, 1 layer." in last[5] and last[:5] == [""] * 5
        shown = tab._show(visit("w"))
        assert "Rank 2 asked" in shown[0] and shown[2]["value"] == LAYER
        assert Path(shown[4]["value"]).exists() and Path(shown[5]["value"]).exists()
        measured = every(tab._scale._measure(visit("w"), "direction", 1, WHOLE))[-1]
        assert measured[0] == "" and "Direction 1 in all layers at factor 1:" in measured[4]
        half = tab._scale._slide(0.5, visit("w"))
        assert "at factor 0.5:" in half[1] and half[1] != measured[4]

    def test_refusals_stand_beside_their_control_and_clear_the_page(self, tab: InspectTab, store: Store) -> None:
        every(tab._begin(visit("w"), RUN, of(store, "neat").run_id, "", None, "", "", ""))
        cases: list[tuple[tuple[Any, ...], int]] = [
            ((RUN, "nothing", "", None, "", "", ""), 0),
            ((RUN, of(store, "lora").run_id, "nothing", None, "", "", ""), 1),
            ((UPLOAD, None, None, [{"path": "/etc/passwd"}], "", "", ""), 2),
            ((FOLDER, None, None, None, "../..", "", ""), 3),
            ((FOLDER, None, None, None, "a", "no task", ""), 4),
            (("something else", None, None, None, None, None, None), 0),
        ]
        for values, place in cases:
            last = every(tab._begin(visit("w"), *values))[-1]
            assert ['role="alert"' in said for said in last[:5]] == [i == place for i in range(5)], values
            assert tab._show(visit("w"))[0] == view.NOTHING

    def test_windows_are_apart_and_leave_nothing(self, tab: InspectTab, store: Store, served: Path) -> None:
        every(tab._begin(visit("w"), RUN, of(store, "neat").run_id, "", None, "", "", ""))
        assert tab._show(visit("other"))[0] == view.NOTHING
        assert any(served.glob("neatlab-*/*/*"))
        for window in ("w", "other"):
            tab._close(visit(window))
        assert not any(served.iterdir())

    def test_a_link_to_the_tab_opens_its_run_once(self, tab: InspectTab, store: Store) -> None:
        run_id, rest = of(store, "lora").run_id, [RUN, None, None, None, "", "", ""]
        update, other = tab.read_link(Link.text(f"?tab=inspect&inspect={run_id}"), "w")
        assert update["value"] == run_id and run_id in [value for _, value in update["choices"]]
        assert other["value"] == "" and run_id not in [value for _, value in other["choices"]]
        assert "Done: lora:rank=2" in every(tab._restore(visit("w"), *rest))[-1][5]
        assert len(every(tab._restore(visit("w"), *rest))) == 1
        tab.read_link(Link.text(f"?tab=train&inspect={run_id}"), "v")
        assert "press Inspect" in every(tab._restore(visit("v"), *rest))[-1][5]
        with pytest.raises(BadInput):
            Link.text("?tab=inspect&inspect=../../etc")

    def test_a_link_opens_two_runs_beside_each_other(self, tab: InspectTab, store: Store) -> None:
        pair = {"inspect": of(store, "lora").run_id, "inspect_other": of(store, "neat").run_id}
        written = write({"tab": "inspect", **tab.write_link([*pair.values()], "w")})
        assert [update["value"] for update in tab.read_link(Link.text(written), "w")] == [*pair.values()]
        last = every(tab._restore(visit("w"), RUN, None, None, None, "", "", ""))[-1]
        assert "Done: lora:rank=2 and neat:rank=2,depth=2" in last[5]

    def test_only_runs_of_the_same_task_are_offered_beside_one(self, tab: InspectTab, store: Store) -> None:
        run_id = of(store, "lora").run_id
        chosen, beside = tab._opening._fill(run_id, "")
        assert len(chosen["choices"]) == 5 and len(beside["choices"]) == 3  # the others of a task's four
        assert run_id not in [value for _, value in beside["choices"]]


def test_a_root_that_is_no_folder_is_refused_before_the_page_is_served(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--inspect-root .*nowhere is no folder"):
        launch("127.0.0.1", 0, tmp_path / "runs", inspect_root=tmp_path / "nowhere")


def test_without_a_root_no_folder_is_offered(store: Store) -> None:
    jobs: Any = FakeJobs(store)
    with gr.Blocks() as demo:
        made = InspectTab(Context(store, jobs))
        made.connect(demo)
    assert [name for name, _ in made._opening.inputs[0].choices] == [RUN, UPLOAD]
    last = every(made._begin(visit("w"), FOLDER, None, None, None, "/etc", "", ""))[-1]
    assert "opens no folders" in last[3] and jobs.orders == []
    made._close(visit("w"))

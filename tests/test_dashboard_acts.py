"""Acts on the Inspect tab: what is asked for, what a process does, what the window shows and takes back."""

import shlex
import zipfile
from pathlib import Path
from typing import Any

import pytest

from neatlab.cli import parser
from neatlab.dashboard.inspect import act_worker
from neatlab.dashboard.inspect.act_request import MAX_ACTS, OFFERED, ActOrder, ActResult, order_acts
from neatlab.dashboard.inspect.request import RUN, FieldError, InspectionProgress, InspectOrder
from neatlab.dashboard.inspect.tab import InspectTab
from neatlab.editing import ACTS, parse_act
from neatlab.inspection import open_upload
from neatlab.inspection.opening import inspect
from neatlab.runs.store import Store
from tests.dashboard_inspect import FILES, LAYER, Pipe, every, make_store, make_tab, of, serve, visit

served = pytest.fixture(autouse=True)(serve)
store = pytest.fixture(scope="module")(make_store)
tab = pytest.fixture(make_tab)


def done(store: Store, opened: InspectOrder, target: Path, *acts: str, is_scored: bool = False) -> Any:
    """The last word of the process."""
    target.mkdir(exist_ok=True)
    pipe: Any = Pipe()
    act_worker.act(ActOrder(opened._replace(target=str(target)), acts, is_scored), str(store.root), pipe)
    progress = [values[0] for kind, *values in pipe.said[:-1] if kind == "result"]
    assert all(isinstance(one, InspectionProgress) for one in progress)
    return pipe.said[-1]


class TestOrders:
    opened = InspectOrder(runs=("0" * 12,), target="/nowhere")

    def test_each_offered_act_can_be_read(self) -> None:
        assert {parse_act(text).text.partition(":")[0] for text in OFFERED.values()} <= ACTS.keys()

    def test_acts_are_added_to_those_before(self) -> None:
        assert order_acts(self.opened, None, ("scale:factor=2",), " compress:rank=2 ", True) == ActOrder(
            self.opened, ("scale:factor=2", "compress:rank=2")
        )

    @pytest.mark.parametrize("act", ["", None, 7, ["compress"], "x" * 300, "a\nb", {"a": 1}])
    def test_what_is_no_act_is_refused(self, act: Any) -> None:
        with pytest.raises(FieldError, match="such as compress:rank=2"):
            order_acts(self.opened, None, (), act, False)

    def test_nothing_open_two_open_and_too_many_are_refused(self) -> None:
        for opened in (None, InspectOrder(runs=("0" * 12, "1" * 12))):
            with pytest.raises(FieldError, match="open one adapter first"):
                order_acts(opened, None, (), "compress:rank=2", False)
        with pytest.raises(FieldError, match="undo one"):
            order_acts(self.opened, None, ("scale:factor=2",) * MAX_ACTS, "scale:factor=2", False)

    def test_its_command_is_one_of_the_command_line(self) -> None:
        order = ActOrder(self.opened, ("compress:rank=2", "keep-layers:pattern=*.q proj"), True)
        words = shlex.split(order.command)
        read = parser._parser().parse_args(words[1:])
        assert (read.adapter, read.acts, read.task) == ("0" * 12, [*order.acts], "own")


class TestProcess:
    def test_a_run_before_and_after_and_its_adapter(self, store: Store, tmp_path: Path) -> None:
        run, acts = of(store, "lora"), ("compress:rank=1", "rewind:alpha=0.5")
        kind, result = done(store, InspectOrder(runs=(run.run_id,)), tmp_path / "t", *acts, is_scored=True)
        assert kind == "result" and isinstance(result, ActResult)
        before, after = result.inspection.titles
        assert after == f"{before}, after compress:rank=1, rewind:alpha=0.5"
        rows = result.inspection.layers.set_index("adapter")
        assert rows.loc[before, "rank"] == 2 and rows.loc[after, "rank"] == 1
        values = result.inspection.spectra.set_index("arm")["singular_values"]
        assert values[after][0] == pytest.approx(values[before][0] / 2, rel=1e-5)
        assert all("base: teacher" in one.about for one in result.inspection.adapters)
        assert "LORA → LORA" in result.summary and "1 test" not in result.proof and "before," in result.proof
        with open_upload(result.file) as folder:
            (layer,) = inspect(folder).layers
            assert layer.spectrum.singular_values[0] == pytest.approx(values[after][0], rel=1e-5)

    def test_an_upload_is_rewound_with_its_own_title(self, store: Store, tmp_path: Path, served: Path) -> None:
        path = served / "mine.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in FILES:
                archive.write(of(store, "lora").path / "adapter" / name, name)
        kind, result = done(store, InspectOrder(files=(str(path),)), tmp_path / "t", "rewind:alpha=0.5")
        assert kind == "result" and result.inspection.titles == ["mine", "mine, after rewind:alpha=0.5"]
        norms = result.inspection.layers["norm"].tolist()
        assert norms[1] == pytest.approx(norms[0] / 2, rel=1e-5) and result.proof == ""
        assert sorted(file.name for file in (tmp_path / "t").iterdir()) == ["edited"]  # what was unpacked is gone

    @pytest.mark.parametrize(
        ("act", "said"),
        [
            ("shrink:rank=1", "unknown act 'shrink'"),
            ("compress:rank=0", "greater than or equal to 1"),
            ("drop-direction:index=1+2", "leave"),
            ("merge:with=/etc", "merges finished runs: give the id of one"),
            ("merge:with=0123456789ab+../secret", "merge with '../secret'"),
            ("merge:with=0123456789ab", "no run 0123456789ab"),
        ],
    )
    def test_what_cannot_be_done_is_said_and_leaves_nothing(
        self, store: Store, tmp_path: Path, act: str, said: str
    ) -> None:
        kind, field, message = done(store, InspectOrder(runs=(of(store, "lora").run_id,)), tmp_path / "t", act)
        assert (kind, field) == ("refused", "acts") and said in message and str(tmp_path) not in message
        assert not list((tmp_path / "t").glob("edited/*"))

    def test_a_finished_run_is_merged_in(self, store: Store, tmp_path: Path) -> None:
        first, second = of(store, "lora", 0), of(store, "lora", 1)
        order = InspectOrder(runs=(first.run_id,))
        kind, result = done(store, order, tmp_path / "t", f"merge:with={second.run_id}")
        assert kind == "result" and result.inspection.layers["rank"].tolist() == [2, 4]


class TestTab:
    def open(self, tab: InspectTab, store: Store, *methods: str) -> None:
        first, other = (*(of(store, method).run_id for method in methods), "")[:2]
        every(tab._begin(visit("w"), RUN, first, other, None, "", "", ""))

    def test_acts_are_done_one_after_the_other_and_undone(self, tab: InspectTab, store: Store) -> None:
        assert tab._acts.show(tab._windows.get("w"))[3]["interactive"] is False
        self.open(tab, store, "lora")
        assert tab._acts.show(tab._windows.get("w"))[3]["interactive"] is True
        every(tab._acts._apply(visit("w"), "compress:rank=1", False))
        last = every(tab._acts._apply(visit("w"), "scale:factor=2", False))[-1]
        assert last[0] == "" and "scale:factor=2" in last[1] and Path(last[5]["value"]).exists()
        verdict = tab._show(visit("w"))[0]
        assert "after compress:rank=1, scale:factor=2" in verdict
        back = every(tab._acts._take_back(visit("w")))[-1]
        assert "compress:rank=1" in back[1] and "scale" not in back[1]
        every(tab._acts._take_back(visit("w")))
        assert "after" not in tab._show(visit("w"))[0] and tab._windows.get("w").acting.acts == ()
        assert tab._show(visit("w"))[2]["value"] == LAYER

    def test_a_refusal_leaves_what_was_done(self, tab: InspectTab, store: Store) -> None:
        self.open(tab, store, "lora")
        every(tab._acts._apply(visit("w"), "compress:rank=1", False))
        for act in ("compress:rank=0", "", "merge:with=/etc"):
            last = every(tab._acts._apply(visit("w"), act, False))[-1]
            assert 'role="alert"' in last[0], act
        assert tab._windows.get("w").acting.acts == ("compress:rank=1",)

    def test_two_adapters_are_not_changed_together_and_another_forgets_the_acts(
        self, tab: InspectTab, store: Store
    ) -> None:
        self.open(tab, store, "lora")
        every(tab._acts._apply(visit("w"), "compress:rank=1", False))
        self.open(tab, store, "lora", "neat")
        state = tab._acts.show(tab._windows.get("w"))
        assert "Open one adapter alone" in state[1] and state[3]["interactive"] is False
        assert "open one adapter first" in every(tab._acts._apply(visit("w"), "compress:rank=1", False))[-1][0]

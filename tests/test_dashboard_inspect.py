"""The Inspect tab without a browser: what it lets through, what its processes send, what is shown, what is left."""

import asyncio
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import orjson
import pytest

from neatlab.config import make_run, parse_arm
from neatlab.dashboard import inspect_view as view
from neatlab.dashboard import inspect_worker
from neatlab.dashboard.context import Context
from neatlab.dashboard.inspect_order import (
    FOLDER,
    RUN,
    UPLOAD,
    WHOLE,
    Found,
    InspectOrder,
    Progress,
    Refused,
    Scaled,
    ScaleOrder,
    order_folder,
    order_runs,
    order_scale,
    order_upload,
)
from neatlab.dashboard.inspect_tab import InspectTab
from neatlab.dashboard.links import Link
from neatlab.dashboard.runs_table import read_store
from neatlab.dashboard.server import launch
from neatlab.errors import BadInput
from neatlab.inspection.runs import inspect_run
from neatlab.store import Run, Store
from tests.dashboard_runs import four_runs, tiny, trained

LAYER = "layers.0.linear"
FILES = ("adapter_config.json", "adapter_model.safetensors")


@pytest.fixture(autouse=True)
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Gradio keeps uploads, and where this module's processes would nice themselves."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    monkeypatch.setattr(inspect_worker, "begin", lambda: None)
    monkeypatch.setattr(inspect_worker.tempfile, "tempdir", None)
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = four_runs(tmp_path_factory.mktemp("runs"))
    (run,) = trained(found, make_run("digits", parse_arm("head"), 0, {}, {"steps": 1}))
    assert run.status == "finished"
    return found


def of(store: Store, method: str, seed: int = 0) -> Run:
    return next(run for run in store.runs() if (run.config.arm.method, run.config.seed) == (method, seed))


class Pipe:
    """What a process says."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def send(self, message: Any) -> None:
        self.said.append(message)


def inspected(store: Store, order: InspectOrder, folder: Path) -> list[Any]:
    pipe: Any = Pipe()
    folder.mkdir(exist_ok=True)
    inspect_worker.inspect(order._replace(target=str(folder)), str(store.root), pipe)
    return list(pipe.said)


def found_in(store: Store, order: InspectOrder, folder: Path) -> Found:
    *progress, (kind, found) = inspected(store, order, folder)
    assert kind == "result" and isinstance(found, Found), found
    assert progress and all(isinstance(values[0], Progress) for _, *values in progress)
    return found


def refused(store: Store, order: InspectOrder, folder: Path) -> tuple[str, str]:
    (kind, place, said) = inspected(store, order, folder)[-1]
    assert kind == "refused"
    assert list(folder.iterdir()) == []  # nothing half-written, nothing unpacked is left
    return place, said


def uploaded(served: Path, name: str, content: bytes) -> dict[str, str]:
    folder = served / f"{len(list(served.iterdir())):064x}"
    folder.mkdir()
    (folder / name).write_bytes(content)
    return {"path": str(folder / name)}


class TestOrders:
    def test_a_run_and_two_runs_of_one_task(self, store: Store) -> None:
        listing, lora, neat = read_store(store), of(store, "lora"), of(store, "neat")
        assert order_runs(listing, lora.run_id, "").runs == (lora.run_id,)
        assert order_runs(listing, lora.run_id, neat.run_id).runs == (lora.run_id, neat.run_id)

    @pytest.mark.parametrize(
        "run, said",
        [
            (None, "choose a finished run"),
            ("../../etc/passwd", "12 hexadecimal digits"),
            ("0123456789ab", "no run 0123456789ab"),
            (["a"], "not a list of run ids"),
            ({"a": 1}, "not a list of run ids"),
            ("<script>", "12 hexadecimal digits"),
        ],
    )
    def test_what_is_no_run_is_refused(self, store: Store, run: Any, said: str) -> None:
        with pytest.raises(Refused, match=said) as refusal:
            order_runs(read_store(store), run, None)
        assert refusal.value.place == "run"

    def test_a_run_beside_itself_or_another_task_is_refused(self, runs: Path) -> None:
        other = tiny("lora").model_copy(update={"task_options": {"d_in": 16, "d_out": 4, "samples": 64}})
        store = Store(runs)
        first, second = trained(store, tiny("lora", steps=1), other)
        for run_id, said in ((first.run_id, "itself"), (second.run_id, "one base only")):
            with pytest.raises(Refused, match=said) as refusal:
                order_runs(read_store(store), first.run_id, run_id)
            assert refusal.value.place == "other"

    def test_files_that_were_not_uploaded_are_refused(self, served: Path, tmp_path: Path) -> None:
        outside = tmp_path / "adapter_config.json"
        outside.write_text("{}")
        (served / "link.zip").symlink_to(outside)
        paths = [str(outside), f"{served}/../adapter_config.json", str(served / "link.zip"), str(served), "", "\0", 7]
        for path in paths:
            with pytest.raises(Refused) as refusal:
                order_upload(str(served), [{"path": path}], "")
            assert refusal.value.place == "upload"
        for files in (None, [], "x", [{}], [None], [uploaded(served, "a.zip", b"")] * 3):
            with pytest.raises(Refused):
                order_upload(str(served), files, "")

    def test_a_base_is_one_of_the_list(self, served: Path) -> None:
        file = uploaded(served, "a.zip", b"")
        assert order_upload(str(served), [file], "digits").base == "digits"
        for base in ("text:model=/etc", "nothing", ["digits"], 4):
            with pytest.raises(Refused, match="unknown task") as refusal:
                order_upload(str(served), [file], base)
            assert refusal.value.place == "base"

    def test_folders_need_a_root_and_one_base(self, tmp_path: Path) -> None:
        with pytest.raises(Refused, match="--inspect-root"):
            order_folder(None, "adapter", "", "")
        with pytest.raises(Refused, match="give one"):
            order_folder(tmp_path, "adapter", "digits", "model")
        for path in ("", " ", None, 3, "a\0b", "x" * 2000):
            with pytest.raises(Refused, match="allowed: a path"):
                order_folder(tmp_path, path, "", "")


class TestProcess:
    def test_a_run_is_measured_as_in_python_and_written_down(self, store: Store, tmp_path: Path) -> None:
        run = of(store, "neat")
        found = found_in(store, InspectOrder(runs=(run.run_id,)), tmp_path / "target")
        wanted = orjson.loads(orjson.dumps(inspect_run(run).to_dict()))
        assert orjson.loads(Path(found.json).read_bytes()) == wanted
        assert found.layers["norm"].tolist() == [layer["norm"] for layer in wanted["layers"]]
        assert "overlap_left" in found.layers and found.angles is None and found.sentences == []
        page = Path(found.report).read_text(encoding="utf-8")
        assert run.run_id in page and "https://" not in page.partition("<script")[0]

    def test_two_runs_of_one_arm_keep_names_of_their_own(self, store: Store, tmp_path: Path) -> None:
        pair = (of(store, "lora", 0), of(store, "lora", 1))
        found = found_in(store, InspectOrder(runs=tuple(run.run_id for run in pair)), tmp_path / "target")
        assert [run.run_id in one.title for run, one in zip(pair, found.adapters, strict=True)] == [True, True]
        assert found.angles is not None and len(found.angles) and found.sentences
        assert orjson.loads(Path(found.json).read_bytes())["pairs"]

    def test_a_run_without_a_delta_is_refused(self, store: Store, tmp_path: Path) -> None:
        order = InspectOrder(runs=(of(store, "head").run_id,))
        assert refused(store, order, tmp_path / "target")[0] == "run"

    def test_an_upload_is_opened_with_and_without_a_base(self, store: Store, tmp_path: Path, served: Path) -> None:
        (run,) = trained(Store(tmp_path / "runs"), tiny("lora", steps=2))
        files = tuple(uploaded(served, name, (run.path / "adapter" / name).read_bytes())["path"] for name in FILES)
        plain = found_in(store, InspectOrder(files=files), tmp_path / "target")
        assert plain.layers["norm"].tolist() == pytest.approx(inspect_run(run).frame()["norm"].tolist())
        assert "relative_norm" not in plain.layers and plain.adapters[0].title == "uploaded adapter"
        place, said = refused(store, InspectOrder(files=files, base="digits"), tmp_path / "other")
        assert place == "upload" and "do not fit" in said and str(tmp_path) not in said
        other = tuple(str(path) for path in (of(store, "neat").path / "adapter").glob("adapter_*"))
        place, said = refused(store, InspectOrder(files=other), tmp_path / "other")
        assert place == "base" and "depends on W₀; give the model with “base model”" in said

    def test_a_zip_keeps_its_name_and_the_base_of_its_task(self, tmp_path: Path, served: Path) -> None:
        store = Store(tmp_path / "runs")
        config = tiny("neat", steps=2).model_copy(update={"task_options": {}})
        (run,) = trained(store, config)
        path = served / "mine.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in FILES:
                archive.write(run.path / "adapter" / name, f"a/{name}")
        found = found_in(store, InspectOrder(files=(str(path),), base="teacher:kind=weight-aware"), tmp_path / "t")
        assert found.adapters[0].title == "mine" and "base of task teacher" in found.adapters[0].about
        wanted = inspect_run(run).frame()
        for name in ("norm", "relative_norm", "overlap_left", "overlap_right", "intruders"):
            assert found.layers[name].tolist() == pytest.approx(wanted[name].tolist(), rel=1e-4), name
        assert sorted(file.name for file in (tmp_path / "t").iterdir()) == ["inspection.html", "inspection.json"]

    def test_hostile_uploads_are_refused_and_leave_nothing(self, store: Store, tmp_path: Path, served: Path) -> None:
        pickled = uploaded(served, "adapter_model.bin", b"\x80\x04.")
        config = uploaded(served, FILES[0], b'{"peft_type": "LORA"}')
        torn = uploaded(served, FILES[1], b"\xff" * 64)
        tricky = served / "tricky.zip"
        with zipfile.ZipFile(tricky, "w") as archive:
            archive.writestr("../../adapter_config.json", "{}")
        cases = {
            "is refused": (config["path"], pickled["path"]),
            "not a whole safetensors file": (config["path"], torn["path"]),
            "leads out of its folder": (str(tricky),),
            "damaged|holds no adapter_config": (torn["path"],),
        }
        for count, (said, files) in enumerate(cases.items()):
            place, message = refused(store, InspectOrder(files=files), tmp_path / str(count))
            assert place == "upload" and any(part in message for part in said.split("|")), message

    def test_folders_lie_under_the_root(self, store: Store, tmp_path: Path) -> None:
        root, secret = tmp_path / "root", of(store, "lora").path / "adapter"
        root.mkdir()
        (root / "way-out").symlink_to(secret)
        for path in ("../secret", "/etc", str(secret), "way-out", "nowhere"):
            order = InspectOrder(folder=path, root=str(root))
            place, said = refused(store, order, tmp_path / "target")
            assert place == "folder" and ("allowed: folders under" in said or "is no folder" in said), said
        (root / "inside").mkdir()
        for name in FILES:
            (root / "inside" / name).write_bytes((secret / name).read_bytes())
        found = found_in(store, InspectOrder(folder="inside", root=str(root)), tmp_path / "target")
        assert found.adapters[0].title == "inside"
        base = InspectOrder(folder="inside", root=str(root), base_folder="../runs")
        assert "allowed: folders under" in inspected(store, base, tmp_path / "target")[-1][2]

    def test_all_of_delta_at_factor_one_is_the_trained_model(self, store: Store) -> None:
        run, pipe = of(store, "lora"), Pipe()
        sent: Any = pipe
        for order in (ScaleOrder(run.run_id, "all", None), ScaleOrder(run.run_id, 1, LAYER)):
            inspect_worker.scale(order, str(store.root), sent)
        whole, one = (values[0] for _, *values in pipe.said)
        assert isinstance(whole, Scaled) and whole.part == "All of ΔW in all layers"
        assert one.part == f"Direction 1 in {LAYER}"
        assert whole.points["factor"].tolist() == [0, 0.25, 0.5, 0.75, 1]
        last = [event["metric"] for event in run.events if event.get("split") == "validation"][-1]
        assert whole.points["metric"].iloc[-1] == pytest.approx(last, rel=1e-5)
        assert whole.points["energy"].tolist() == pytest.approx([0, 0.0625, 0.25, 0.5625, 1], abs=1e-9)


@pytest.fixture(scope="module")
def found(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Found:
    pair = (of(store, "lora").run_id, of(store, "neat").run_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect_worker, "begin", lambda: None)
        patch.setattr(inspect_worker.tempfile, "tempdir", None)
        return found_in(store, InspectOrder(runs=pair), tmp_path_factory.mktemp("target"))


class TestView:
    def test_every_chart_says_its_numbers(self, found: Found) -> None:
        layer = view.largest(found)
        charts = [
            view.spectrum(found, layer),
            view.energy(found, layer),
            view.profile(found, "norm"),
            view.overlap(found),
            view.intruders(found),
            view.angles(found, layer),
        ]
        captions = [orjson.loads(chart or "")["caption"] for chart in charts]
        assert all(any(letter.isdigit() for letter in caption) for caption in captions)
        mean = found.layers.groupby("adapter", sort=False)["overlap_left"].mean()
        assert f"writes {mean.iloc[0]:.3f}" in captions[3]
        smallest = math.degrees(found.angles["angle"].min()) if found.angles is not None else 0
        assert f"{smallest:.1f}°" in captions[5]

    def test_the_energy_is_the_running_sum_of_squares(self, found: Found) -> None:
        trace = orjson.loads(view.energy(found, view.largest(found)) or "")["figure"]["data"][0]
        values = found.spectra["singular_values"].iloc[0]
        total = sum(value**2 for value in values)
        wanted = [sum(value**2 for value in values[: i + 1]) / total for i in range(len(values))]
        assert trace["y"] == pytest.approx(wanted)

    def test_the_table_has_a_row_an_adapter_and_layer(self, found: Found) -> None:
        shown = view.table(found)
        assert shown.count('<th scope="row">') == len(found.layers) == 2
        assert f"{found.layers['norm'].iloc[1]:,.4f}" in shown and "overlap, left" in shown

    def test_names_from_files_are_text(self, found: Found) -> None:
        evil = "<img src=x onerror=alert(1)>"
        one = found.adapters[0]._replace(title=evil, about=evil)
        bad = found._replace(adapters=[one], layers=found.layers.assign(layer=evil, adapter=evil))
        assert "<img" not in view.verdict(bad) + view.table(bad)

    def test_nothing_open_invites(self) -> None:
        assert view.verdict(None) == view.NOTHING and view.table(None) == view.NO_TABLE
        assert [view.spectrum(None, None), view.overlap(None), view.scaling(None, 1.0)] == [None] * 3

    def test_what_cannot_be_scaled_is_refused(self, store: Store, found: Found) -> None:
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
            with pytest.raises(Refused) as refusal:
                order_scale(run, found, part, index, layer)
            assert refusal.value.place == "scale"
        with pytest.raises(Refused, match="open a finished run"):
            order_scale(None, found, "all", 1, WHOLE)

    @pytest.mark.parametrize("at", [-0.1, 1.1, float("nan"), "0.5", None, True])
    def test_the_slider_stays_on_its_line(self, at: Any) -> None:
        with pytest.raises(BadInput, match="0 to 1"):
            view.place(at)


class FakeJobs:
    """Jobs that run in this process, at once."""

    def __init__(self, store: Store) -> None:
        self.store, self.words, self.orders = store, [], []  # type: ignore[var-annotated]

    def submit(self, entry: str, order: Any) -> Any:
        self.orders.append(order)
        job = SimpleNamespace(phase="preparing", result=None, refusal=None, look=lambda: setattr(job, "phase", "ended"))
        pipe: Any = Pipe()
        getattr(inspect_worker, entry.partition(":")[2])(order, str(self.store.root), pipe)
        kind, *values = pipe.said[-1]
        if kind == "result":
            job.result = values[0]
        else:
            job.refusal = Refused(values[0], values[1])
            job.refusal.part = values[0]  # type: ignore[attr-defined]
        return job

    def place(self, job: Any) -> int:
        return 0

    def tell(self, job: Any, word: str) -> None:
        self.words.append(word)


@pytest.fixture
def tab(store: Store, tmp_path: Path) -> Iterator[InspectTab]:
    jobs: Any = FakeJobs(store)
    with gr.Blocks() as demo:
        made = InspectTab(Context(store, jobs, tmp_path))
        made.connect(demo)
    yield made
    made._close(visit("w"))


def visit(window: str) -> Any:
    return SimpleNamespace(session_hash=window)


def every(stream: Any) -> list[list[Any]]:
    async def gather() -> list[list[Any]]:
        return [values async for values in stream]

    return asyncio.run(gather())


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
        (update,) = tab.read_link(Link.text(f"?tab=inspect&inspect={run_id}"), "w")
        assert update["value"] == run_id and run_id in [value for _, value in update["choices"]]
        assert "Done: lora:rank=2" in every(tab._restore(visit("w"), *rest))[-1][5]
        assert len(every(tab._restore(visit("w"), *rest))) == 1
        tab.read_link(Link.text(f"?tab=train&inspect={run_id}"), "v")
        assert "press Inspect" in every(tab._restore(visit("v"), *rest))[-1][5]
        with pytest.raises(BadInput):
            Link.text("?tab=inspect&inspect=../../etc")

    def test_only_runs_of_the_same_task_are_offered_beside_one(self, tab: InspectTab, store: Store) -> None:
        run_id = of(store, "lora").run_id
        chosen, beside = tab._opening._fill(run_id, "")
        assert len(chosen["choices"]) == 5 and len(beside["choices"]) == 4  # of a task's four "none" for itself
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

"""The Inspect tab's orders and processes: what they let through, what they send, what is left."""

import zipfile
from pathlib import Path
from typing import Any

import orjson
import pytest

from neatlab.dashboard.inspect import worker as inspect_worker
from neatlab.dashboard.inspect.request import (
    FieldError,
    InspectOrder,
    ScaleOrder,
    ScalingCurve,
    order_folder,
    order_runs,
    order_upload,
)
from neatlab.dashboard.shared.listing import read_store
from neatlab.inspection.runs import inspect_run
from neatlab.runs.store import Store
from neatlab.tasks import TaskSpec
from tests.dashboard_inspect import (
    FILES,
    LAYER,
    Pipe,
    found_in,
    inspected,
    make_store,
    of,
    refused,
    serve,
    uploaded,
)
from tests.dashboard_runs import tiny, trained

served = pytest.fixture(autouse=True)(serve)
store = pytest.fixture(scope="module")(make_store)


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
        with pytest.raises(FieldError, match=said) as refusal:
            order_runs(read_store(store), run, None)
        assert refusal.value.field == "run"

    def test_a_run_beside_itself_or_another_task_is_refused(self, runs: Path) -> None:
        other = tiny("lora").model_copy(update={"task_options": {"d_in": 16, "d_out": 4, "samples": 64}})
        store = Store(runs)
        first, second = trained(store, tiny("lora", steps=1), other)
        for run_id, said in ((first.run_id, "itself"), (second.run_id, "one base only")):
            with pytest.raises(FieldError, match=said) as refusal:
                order_runs(read_store(store), first.run_id, run_id)
            assert refusal.value.field == "other"

    def test_files_that_were_not_uploaded_are_refused(self, served: Path, tmp_path: Path) -> None:
        outside = tmp_path / "adapter_config.json"
        outside.write_text("{}")
        (served / "link.zip").symlink_to(outside)
        paths = [str(outside), f"{served}/../adapter_config.json", str(served / "link.zip"), str(served), "", "\0", 7]
        for path in paths:
            with pytest.raises(FieldError) as refusal:
                order_upload(str(served), [{"path": path}], "")
            assert refusal.value.field == "upload"
        for files in (None, [], "x", [{}], [None], [uploaded(served, "a.zip", b"")] * 3):
            with pytest.raises(FieldError):
                order_upload(str(served), files, "")

    def test_a_base_is_one_of_the_list(self, served: Path) -> None:
        file = uploaded(served, "a.zip", b"")
        assert order_upload(str(served), [file], "digits").base == TaskSpec("digits")
        for base in ("text:model=/etc", "nothing", ["digits"], 4):
            with pytest.raises(FieldError, match="unknown task") as refusal:
                order_upload(str(served), [file], base)
            assert refusal.value.field == "base"

    def test_folders_need_a_root_and_one_base(self, tmp_path: Path) -> None:
        with pytest.raises(FieldError, match="--inspect-root"):
            order_folder(None, "adapter", "", "")
        with pytest.raises(FieldError, match="give one"):
            order_folder(tmp_path, "adapter", "digits", "model")
        for path in ("", " ", None, 3, "a\0b", "x" * 2000):
            with pytest.raises(FieldError, match="allowed: a path"):
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
        place, said = refused(store, InspectOrder(files=files, base=TaskSpec("digits")), tmp_path / "other")
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
        found = found_in(
            store, InspectOrder(files=(str(path),), base=TaskSpec("teacher", {"kind": "weight-aware"})), tmp_path / "t"
        )
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
            "is not a whole safetensors file (Error": (torn["path"],),
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
        assert isinstance(whole, ScalingCurve) and whole.part == "All of ΔW in all layers"
        assert one.part == f"Direction 1 in {LAYER}"
        assert whole.points["factor"].tolist() == [0, 0.25, 0.5, 0.75, 1]
        last = [event["metric"] for event in run.events if event.get("split") == "validation"][-1]
        assert whole.points["metric"].iloc[-1] == pytest.approx(last, rel=1e-5)
        assert whole.points["energy"].tolist() == pytest.approx([0, 0.0625, 0.25, 0.5625, 1], abs=1e-9)

"""Your own data on the Train tab, without a browser: what is let through, what a process makes of it, what is left."""

import asyncio
import gc
import io
import re
import stat
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neatlab.config import parse_arm
from neatlab.dashboard.ablate.tab import AblateTab
from neatlab.dashboard.links import Link
from neatlab.dashboard.page import build
from neatlab.dashboard.shared.choices import task_choices
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.upload_store import MAX_UPLOADS, UploadStore
from neatlab.dashboard.sweeps.request import SweepOrder
from neatlab.dashboard.train import data_form, data_request, data_worker, data_zip
from neatlab.dashboard.train.data_request import (
    KINDS,
    SUFFIXES,
    WORKBOOKS,
    DataOrder,
    DataPreview,
    UploadedTask,
    order_data,
    safe_name,
)
from neatlab.dashboard.train.form import read_form
from neatlab.dashboard.train.link import TrainLink
from neatlab.dashboard.train.request import Order
from neatlab.dashboard.train.tab import TrainTab
from neatlab.errors import BadInput
from neatlab.experiments.execute import check
from neatlab.runs.store import Store
from neatlab.tasks import TaskSpec
from neatlab.tasks.custom import readers
from neatlab.tasks.custom.options import CustomOptions
from neatlab.tasks.pretrained import SMALL_VIT
from tests.awaiting import awaited
from tests.folders import bert_folder, llama_folder, vit_folder
from tests.test_dashboard_form import FORM
from tests.waiting import LIMIT

MOODS = ("good", "bad", "dull")
KEY = "upload:0123456789abcdef"


def csv(count: int = 60, text: str = "review", label: str = "mood") -> bytes:
    rows = [f"{i} a {MOODS[i % 3]} day,{MOODS[i % 3]}" for i in range(count)]
    return "\n".join([f"{text},{label}", *rows]).encode()


def picture(level: int) -> bytes:
    pixels, file = np.full((16, 16, 3), level, np.uint8), io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def pictures(wrap: str = "") -> dict[str, bytes]:
    return {f"{wrap}{'cat' if i % 2 else 'dog'}/{i}.png": picture(4 * i) for i in range(24)}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A root with a text model, a language model, an image model, a pickled one and a way out."""
    root = tmp_path / "models"
    root.mkdir()
    for name, folder in (("bert", bert_folder()), ("llama", llama_folder()), ("vit", vit_folder())):
        (root / name).symlink_to(folder)  # the root is resolved, so a link out of it is refused
    return root


@pytest.fixture
def root(models: Path) -> Path:
    """Where the tiny models really lie."""
    return Path(bert_folder()).parent


class Pipe:
    """What a process says."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def send(self, message: Any) -> None:
        self.said.append(message)


def answer(tmp_path: Path, root: Path, name: str, content: bytes, **fields: Any) -> tuple[Any, ...]:
    """What the process says of an upload."""
    file, target, pipe = tmp_path / name, tmp_path / "target", Pipe()
    file.write_bytes(content)
    target.mkdir(exist_ok=True)
    given: Any = {"model": Path(bert_folder()).name, "root": str(root), **fields}
    channel: Any = pipe
    data_worker.make(DataOrder(str(file), safe_name(name), target=str(target), **given), "", channel)
    *_, said = pipe.said
    return tuple(said)


@pytest.fixture(autouse=True)
def kept_polite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_worker, "begin", lambda: None)


class TestOrder:
    @pytest.fixture
    def served(self, tmp_path: Path) -> Path:
        (tmp_path / "served").mkdir()
        (tmp_path / "served" / "data.csv").write_bytes(csv())
        (tmp_path / "served" / "data.pkl").write_bytes(b"x")
        (tmp_path / "outside.csv").write_bytes(csv())
        (tmp_path / "served" / "link.csv").symlink_to(tmp_path / "outside.csv")
        return tmp_path / "served"

    def ordered(self, served: Path, root: Path | None = None, **changes: Any) -> DataOrder:
        given = {"file": {"path": str(served / "data.csv")}, "text": "", "label": None, "image": "", "model": ""}
        return order_data(str(served), root, **{**given, "new_head": False, **changes})

    def test_what_is_empty_is_left_to_be_found(self, served: Path) -> None:
        assert self.ordered(served) == DataOrder(str(served / "data.csv"), "data.csv")
        assert self.ordered(served, served, text=" a ", model="m", new_head=True).model == "m"

    @pytest.mark.parametrize(
        ("changes", "place", "said"),
        [
            ({"file": None}, "file", "choose a file"),
            ({"file": {"path": 3}}, "file", "one line"),
            ({"file": "data.csv"}, "file", "no longer there"),
            ({"file": {"path": "/etc/passwd"}}, "file", "no longer there"),
            ({"text": "a\nb"}, "columns", "one line"),
            ({"label": ["mood"]}, "columns", "one line"),
            ({"image": "x" * 201}, "columns", "at most 200"),
            ({"model": "bert"}, "model", "--inspect-root"),
            ({"kind": "labls"}, "columns", "did you mean 'labels'"),
            ({"model": "\0"}, "model", "one line"),
        ],
    )
    def test_what_cannot_be_used_is_named_with_its_place(
        self, served: Path, changes: dict[str, Any], place: str, said: str
    ) -> None:
        with pytest.raises(FieldError, match=said) as refusal:
            self.ordered(served, **changes)
        assert refusal.value.field == place

    @pytest.mark.parametrize("name", ["data.pkl", "link.csv", "../outside.csv", ".", "gone.csv"])
    def test_only_uploads_of_the_known_kinds(self, served: Path, name: str) -> None:
        with pytest.raises(FieldError):
            self.ordered(served, file={"path": f"{served}/{name}"})

    def test_a_workbook_is_sent_back_with_the_way_out(self, served: Path) -> None:
        (served / "data.xlsx").write_bytes(b"PK")
        with pytest.raises(FieldError, match="save the workbook as CSV"):
            self.ordered(served, file={"path": str(served / "data.xlsx")})

    def test_the_size_has_a_limit(self, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data_request, "MAX_BYTES", 100)
        with pytest.raises(FieldError, match="allowed: 100"):
            self.ordered(served)

    @pytest.mark.parametrize(
        ("name", "safe"),
        [("My Data.CSV", "My_Data.csv"), ('…,=".csv', "data.csv"), ("a" * 99 + ".zip", "a" * 60 + ".zip")],
    )
    def test_a_name_is_made_fit_for_a_path(self, name: str, safe: str) -> None:
        assert safe_name(name) == safe


class TestProcess:
    @pytest.mark.parametrize("name", ["data.csv", "data.jsonl", "data.tsv"])
    def test_a_table_is_made_a_task_that_trains(self, tmp_path: Path, root: Path, name: str) -> None:
        frame = pd.read_csv(io.BytesIO(csv()))
        content = {
            "csv": csv(),
            "tsv": frame.to_csv(sep="\t", index=False).encode(),
            "jsonl": frame.to_json(orient="records", lines=True).encode(),
        }[name.partition(".")[2]]
        kind, made = answer(tmp_path, root, name, content)
        assert kind == "result" and isinstance(made, UploadedTask), made
        notes = "\n".join(made.notes)
        assert "text from 'review', label from 'mood'" in notes and "0 = bad, 1 = dull, 2 = good" in notes
        assert "60 rows" in notes and "splits: train" in notes and "adapters on query, value" in notes
        order = Order.check(KEY, [parse_arm("lora:rank=2"), parse_arm("neat:rank=2")], {"steps": 2}, {KEY: made.task})
        check(order.runs())
        assert order.runs()[0].task_options["data_sha256"]
        assert str(tmp_path) not in order.command.replace(str(root), "") and f"data={name}" in order.command

    def test_the_task_reads_back_as_it_was_found(self, tmp_path: Path, root: Path) -> None:
        _, made = answer(tmp_path, root, "data.csv", csv(text='"a, b"', label="c d"), text="a, b", new_head=True)
        options = CustomOptions.parse(made.task.options, "custom")
        assert (options.text, options.label, options.new_head) == ("a, b", "c d", True)

    def test_a_language_model_learns_the_texts(self, tmp_path: Path, root: Path) -> None:
        _, made = answer(tmp_path, root, "data.csv", csv(), model=Path(llama_folder()).name)
        assert "judged by loss" in "\n".join(made.notes)

    def test_decimals_are_proposed_as_a_regression_and_the_alternatives_that_fit(
        self, tmp_path: Path, root: Path
    ) -> None:
        rows = [f"{i} a {MOODS[i % 3]} day;{i % 4},5" for i in range(60)]
        content = "\r\n".join(["Text;Note", *rows]).encode("cp1252")
        _, made = answer(tmp_path, root, "noten.csv", content)
        assert made.roles == {"text": "Text", "label": "Note", "image": "", "kind": "regression"}
        assert made.kinds == ["regression", "labels"]
        notes = "\n".join(made.notes)
        assert "columns separated by semicolons" in notes and "numbers from 0.5 to 3.5, read with decimal" in notes
        assert re.search(r"about \d+ s an arm here \(200 steps\)", notes)
        assert made.preview.columns == ["Text", "Note"] and made.preview.rows[1] == ["1 a bad day", "1,5"]
        _, other = answer(tmp_path, root, "noten.csv", content, kind="labels")
        assert other.kinds == ["labels", "regression"] and "4 labels" in "\n".join(other.notes)

    def test_the_first_rows_are_shown_though_the_rest_is_refused(self, tmp_path: Path, root: Path) -> None:
        (tmp_path / "data.csv").write_bytes(csv(6))
        (tmp_path / "target").mkdir()
        pipe: Any = Pipe()
        order = DataOrder(str(tmp_path / "data.csv"), "data.csv", model=Path(bert_folder()).name, root=str(root))
        data_worker.make(order._replace(target=str(tmp_path / "target")), "", pipe)
        (_, preview), (kind, place, _) = pipe.said
        assert preview == DataPreview(["review", "mood"], [[f"{i} a {MOODS[i]} day", MOODS[i]] for i in range(3)])
        assert (kind, place) == ("refused", "file")

    def test_images_without_a_model_are_read_by_the_vit_of_the_digits(self, tmp_path: Path, root: Path) -> None:
        kind, made = answer(tmp_path, root, "pets.zip", zipped(pictures()), model="")
        assert kind == "result", made
        assert made.task.options["model"] == SMALL_VIT and made.preview is None and made.kinds == ["images"]
        loaded = made.task.load()
        assert loaded.split("train")["pixel_values"].shape[1:] == (1, 8, 8)
        assert loaded.base_model().classifier.out_features == 2
        assert SMALL_VIT in "\n".join(made.notes)

    @pytest.mark.parametrize("wrap", ["", "all/"])
    def test_a_zip_of_images_by_class(self, tmp_path: Path, root: Path, wrap: str) -> None:
        inner = {"notes.txt": b"x", "__MACOSX/cat/._1.png": b"x", **pictures(wrap)}
        kind, made = answer(tmp_path, root, "pets.zip", zipped(inner), model=Path(vit_folder()).name)
        assert kind == "result", made
        assert "0 = cat, 1 = dog" in "\n".join(made.notes)
        assert sorted(p.name for p in (tmp_path / "target" / "pets").iterdir()) == ["cat", "dog"]

    @pytest.mark.parametrize(
        ("name", "content", "fields", "place", "said"),
        [
            ("data.csv", b"", {}, "file", "cannot be read"),
            ("data.csv", b"text,label\n", {}, "file", "no rows"),
            ("data.csv", picture(3), {}, "file", "cannot be read"),
            ("data.jsonl", csv(), {}, "file", "line 1"),
            ("data.jsonl", b"[1]\n" * 20, {}, "file", "not a list of objects"),
            ("data.parquet", csv(), {}, "file", "arquet"),
            (
                "data.csv",
                csv().replace(b"bad", b"good").replace(b"dull", b"good"),
                {"label": "mood"},
                "file",
                "the label",
            ),
            ("data.csv", csv(6), {}, "file", "each needs at least 4"),
            ("data.csv", csv() + b"\n,good", {}, "file", "no text"),
            ("data.csv", csv(), {"text": "revew"}, "columns", "did you mean 'review'"),
            ("data.csv", csv(), {"label": "nothing"}, "columns", "unknown column"),
            ("data.csv", csv(text='"a""b"'), {}, "columns", "double quote"),
            ("data.csv", csv(), {"image": "review"}, "columns", "Parquet alone"),
            ("data.csv", csv(), {"model": "../"}, "model", "allowed: folders under"),
            ("data.csv", csv(), {"model": "/etc"}, "model", "allowed: folders under"),
            ("data.csv", csv(), {"model": "nothing"}, "model", "no folder"),
            ("data.zip", csv(), {}, "file", "not a zip"),
            ("data.zip", zipped({"data.csv": csv()}), {}, "file", "no images"),
            ("data.zip", zipped({"1.png": picture(1)}), {}, "file", "lies in no folder"),
            ("data.zip", zipped({"../../cat/1.png": picture(1)}), {}, "file", "leads out"),
            ("data.zip", zipped({"/cat/1.png": picture(1)}), {}, "file", "leads out"),
            ("data.zip", zipped({"cat\\..\\..\\1.png": picture(1)}), {}, "file", "leads out"),
            ("data.zip", zipped(pictures()), {}, "model", "reads text"),
            (
                "data.zip",
                zipped({**pictures(), "cat/x.png": b"<svg/>"}),
                {"model": "VIT"},
                "file",
                "cannot be read: data/cat/x.png",
            ),
            ("data.zip", zipped(pictures())[:-40], {}, "file", "not a zip"),
        ],
    )
    def test_what_cannot_be_used_leaves_nothing(
        self, tmp_path: Path, root: Path, name: str, content: bytes, fields: dict[str, Any], place: str, said: str
    ) -> None:
        if fields.get("model") == "VIT":
            fields = {"model": Path(vit_folder()).name}
        kind, where, message = answer(tmp_path, root, name, content, **fields)
        assert (kind, where) == ("refused", place), message
        assert said in message and "\n" not in message
        assert str(tmp_path / "target") not in message
        assert not (tmp_path / "target").exists()

    def test_a_link_out_of_the_root_and_a_pickled_model_are_refused(self, tmp_path: Path, models: Path) -> None:
        assert "allowed: folders under" in answer(tmp_path, models, "data.csv", csv(), model="bert")[2]
        (models / "old").mkdir()
        (models / "old" / "config.json").write_text("{}")
        (models / "old" / "pytorch_model.bin").write_bytes(b"x")
        kind, place, said = answer(tmp_path, models, "data.csv", csv(), model="old")
        assert (kind, place) == ("refused", "model") and "pickle" in said

    def test_a_table_cannot_name_images_of_this_machine(
        self, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options = CustomOptions.model_construct(**{**CustomOptions(model="m", data="d").model_dump(), "kind": "images"})
        options = options.model_copy(update={"image": "image"})
        (tmp_path / "x.parquet").write_bytes(b"")
        monkeypatch.setattr(readers, "find_source", lambda *_: None)
        for value in ("/etc/passwd", {"path": "/etc/passwd"}, {"bytes": b"", "path": "x"}, {"bytes": "x"}, None):
            frame = pd.DataFrame({"image": [{"bytes": b"x"}, value]})
            monkeypatch.setattr(readers, "read", lambda *_, frame=frame: readers.Rows(frame, 2, {}))
            with pytest.raises(BadInput, match="row 2 has no image"):
                data_worker._check_images(options, tmp_path / "x.parquet")


class TestZip:
    def refused(self, tmp_path: Path, content: bytes, said: str) -> None:
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(BadInput, match=said):
            data_zip.unzip_images(tmp_path / "a.zip", tmp_path / "out")
        assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*.png")) <= data_zip.MAX_BYTES

    def test_a_bomb_is_refused_by_its_header_and_by_what_comes_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data_zip, "MAX_BYTES", 10_000)
        bomb = zipped({f"cat/{i}.png": bytes(4_000) for i in range(5)})
        assert len(bomb) < 2_000
        self.refused(tmp_path, bomb, "unpacks to 20,000 bytes")
        self.refused(
            tmp_path, bomb.replace((4_000).to_bytes(4, "little"), (4).to_bytes(4, "little")), "damaged|more than"
        )

    def test_a_folder_that_was_removed_meanwhile_stays_so(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(zipped(pictures()))
        with pytest.raises(BadInput):
            data_zip.unzip_images(tmp_path / "a.zip", tmp_path / "closed" / "out")
        assert not (tmp_path / "closed").exists()

    def test_links_counts_and_repetitions(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        link = zipfile.ZipInfo("cat/1.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(link, "/etc/passwd")
        self.refused(tmp_path, file.getvalue(), "holds a link")
        with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(file, "w") as archive:
            archive.writestr("cat/1.png", "a")
            archive.writestr("cat/1.png", "b")
        self.refused(tmp_path, file.getvalue(), "twice")
        monkeypatch.setattr(data_zip, "MAX_IMAGES", 5)
        self.refused(tmp_path, zipped(pictures()), "24 images; allowed: 5")
        monkeypatch.setattr(data_zip, "MAX_MEMBERS", 5)
        self.refused(tmp_path, zipped(pictures()), "24 files; allowed: 5")


class TestKeys:
    def test_only_this_windows_keys_and_the_pages_tasks_are_taken(self) -> None:
        known = {KEY: TaskSpec("digits")}
        assert str(read_form({**FORM, "task": KEY}, known).task) == "digits"
        for uploads, task, said in (
            ({}, KEY, "upload them again"),
            (known, "upload:ffff", "upload them again"),
            (known, "custom:model=/etc,data=/etc/passwd", "unknown task"),
            (known, [KEY], "unknown task"),
        ):
            with pytest.raises(FieldError, match=said) as refusal:
                read_form({**FORM, "task": task}, uploads)
            assert refusal.value.field == "run"

    @pytest.mark.parametrize("task", [KEY, "custom:model=/etc,data=/etc/passwd", "custom"])
    def test_a_link_cannot_name_them(self, task: str) -> None:
        with pytest.raises(BadInput, match="task"):
            Link.text(f"?task={task}")
        assert Link.text("?hide=data").hide == ("data",)

    def test_the_oldest_goes_and_nothing_stays_behind(self) -> None:
        uploads = UploadStore()
        folders = [uploads.new_folder() for _ in range(MAX_UPLOADS + 1)]
        keys = [uploads.add("a.csv", f"task {i}", folder) for i, folder in enumerate(folders)]
        assert list(uploads.tasks) == keys[1:] and not folders[0].exists() and folders[1].exists()
        assert len(set(keys)) == len(keys) and uploads.choices[0] == ("your data: a.csv", keys[1])
        uploads.close()
        assert uploads.tasks == {} and not folders[1].parent.exists()

    def test_a_file_that_is_looked_at_anew_is_listed_once_and_goes_before_others(self) -> None:
        uploads = UploadStore()
        folders = [uploads.new_folder() for _ in range(MAX_UPLOADS + 1)]
        other = uploads.add("b.csv", TaskSpec("custom"), folders[0], "b")
        looks = [uploads.add("a.csv", TaskSpec("custom"), folder, "a") for folder in folders[1:]]
        assert uploads.choices == [("your data: b.csv", other), ("your data: a.csv", looks[-1])]
        assert list(uploads.tasks) == [other, *looks[1:]]
        assert folders[0].exists() and not folders[1].exists() and folders[2].exists()
        uploads.close()

    def test_what_nobody_closes_goes_with_its_store(self) -> None:
        other = UploadStore()
        place = other.new_folder()
        del other
        gc.collect()
        assert not place.exists()


def visit(name: str | None) -> gr.Request:
    request: Any = SimpleNamespace(session_hash=name)
    return request


async def gathered(stream: Any) -> list[list[Any]]:
    return [values async for values in stream]


def every(stream: Any) -> list[list[Any]]:
    return awaited(gathered(stream))


class Here:
    """Jobs in a thread of this process: tests/browser has them in processes."""

    def __init__(self) -> None:
        self.submitted: list[Job] = []

    def submit(self, entry: str, order: DataOrder, brief: bool = False, **_: Any) -> Job:
        job = Job(entry, order, False, len(self.submitted), phase="preparing")
        self.submitted.append(job)
        threading.Thread(target=self._run, args=(job, order)).start()
        return job

    def position(self, job: Job) -> int:
        return 0

    def send(self, job: Job, word: str) -> None:
        job.stopped, job.phase = word == "stop", "ended"

    def _run(self, job: Job, order: DataOrder) -> None:
        pipe: Any = Pipe()
        data_worker.make(order, "", pipe)
        for kind, *said in pipe.said:
            if kind == "result":
                job.result = said[0]
            else:
                job.refusal = FieldError(*said)
        job.phase = "ended"


class TestForm:
    @pytest.fixture
    def lab(self, runs: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
        (tmp_path / "served").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        jobs: Any = Here()
        return Context(Store(runs), jobs, root)

    @pytest.fixture
    def tab(self, lab: Context) -> TrainTab:
        with gr.Blocks():
            return TrainTab(lab)

    def test_an_upload_becomes_a_task_of_its_window_alone(self, tab: TrainTab, tmp_path: Path) -> None:
        data, file = tab._data, tmp_path / "served" / "moods.csv"
        file.write_bytes(csv())
        sent = [{"path": str(file)}, "", "", "", Path(bert_folder()).name, False]
        first, *_, last = every(data._use(visit("w"), *sent))
        assert first[4]["interactive"] is False and last[4]["interactive"] is True
        assert last[:3] == [""] * 3 and "3 labels: 0 = bad" in last[3]
        (key,) = tab.context.tasks("w")
        assert last[5]["value"] == key and ("your data: moods.csv", key) in last[5]["choices"]
        assert len(last[5]["choices"]) == len(task_choices()) + 1
        assert last[7]["value"] == 200 and "0.005" in last[6]["placeholder"]
        assert tab.context.tasks("other") == {} and tab.context.tasks(None) == {}
        assert tab.context.tasks("w")[key].load().title == "your model on your data"
        written = tab.write_link([*({**tab._form.defaults, "task": key}).values()], "w")
        assert written["task"] is None and written["steps"] == 150 and written["data"] == "moods.csv"
        assert [update["value"] for update in last[8:12]] == ["review", "mood", "", "labels"]
        assert ("mood", "mood") in last[9]["choices"] and last[12]["open"] is True

        *_, refused = every(data._use(visit("w"), sent[0], "revew", *sent[2:]))
        assert 'role="alert"' in refused[1] and "did you mean" in refused[1] and "Not used" in refused[3]
        assert "value" not in refused[5] and list(tab.context.tasks("w")) == [key]
        assert "value" not in refused[8]  # another column may have been chosen since: the next look is at that
        assert len([*tmp_path.glob("neatlab-data-*/*")]) == 1  # nothing half-kept
        data._close(visit("w"))
        assert tab.context.tasks("w") == {} and not [*tmp_path.glob("neatlab-data-*")]

    def test_a_new_file_forgets_the_columns_of_the_one_before(self, tab: TrainTab, tmp_path: Path) -> None:
        (tmp_path / "served" / "a.csv").write_bytes(csv())
        file = {"path": str(tmp_path / "served" / "a.csv")}
        model = Path(bert_folder()).name
        *_, last = every(tab._data._take(visit("w"), file, "gone", "gone", "gone", model, False, "language"))
        assert last[8]["value"] == "review" and last[11]["value"] == "labels"
        *_, last = every(tab._data._take_columns(visit("w"), file, "review", "mood", "", model, False, "regression"))
        assert last[:3] == [""] * 3 and last[11]["value"] == "labels"
        *_, last = every(tab._data._use(visit("w"), file, "review", "mood", "", model, False, "regression"))
        assert "not a finite number in row 1" in last[1] and "<td>0 a good day</td>" in last[3]
        assert [value for _, value in last[11]["choices"]] == ["", *KINDS]

    def test_what_is_asked_last_is_answered(self, tab: TrainTab, tmp_path: Path) -> None:
        (tmp_path / "served" / "a.csv").write_bytes(csv())
        sent = [{"path": str(tmp_path / "served" / "a.csv")}, "", "", "", Path(bert_folder()).name, False]

        async def both() -> tuple[list[Any], list[Any]]:
            earlier = tab._data._use(visit("w"), *sent)
            await anext(earlier)
            rest = asyncio.create_task(gathered(earlier))
            later = await gathered(tab._data._use(visit("w"), sent[0], "review", "moo", *sent[3:]))
            return await rest, later

        earlier, later = awaited(both())
        assert "did you mean" in later[-1][1]
        assert not any("It is the task now" in values[3] for values in earlier)

    def test_two_that_come_at_once_are_begun_one_after_the_other(
        self, tab: TrainTab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As when a list says that it was left and that it has another value: each would take the other's process."""
        (tmp_path / "served" / "a.csv").write_bytes(csv())
        sent = [{"path": str(tmp_path / "served" / "a.csv")}, "", "", "", Path(bert_folder()).name, False]
        submit, second_has_come, alone = tab._data._submit, threading.Event(), threading.Lock()

        def slow(*request: Any) -> None:
            assert alone.acquire(blocking=False)
            assert second_has_come.wait(LIMIT)
            submit(*request)
            alone.release()

        async def both() -> list[list[list[Any]]]:
            streams = [gathered(tab._data._use(visit("w"), *sent)) for _ in range(2)]
            calls = [asyncio.create_task(stream) for stream in streams]
            await asyncio.sleep(0)  # both have begun
            second_has_come.set()
            return await asyncio.gather(*calls)

        monkeypatch.setattr(tab._data, "_submit", slow)
        _, later = awaited(both())
        assert "It is the task now" in later[-1][3]

    def test_a_link_says_that_the_data_are_not_in_it(self, tab: TrainTab) -> None:
        *_, about, opened = tab.read_link(TrainLink(data="moods.csv", steps=7), "w")
        assert "made with moods.csv, and the data are not in it" in about and opened["open"] is True
        *_, about, opened = tab.read_link(TrainLink(), "w")
        assert "value" not in about and "open" not in opened
        with pytest.raises(BadInput):
            Link.text("?data=../../etc/passwd")

    def test_a_sweep_takes_what_its_window_has_brought(self, tab: TrainTab, tmp_path: Path) -> None:
        (tmp_path / "served" / "a.csv").write_bytes(csv())
        file = {"path": str(tmp_path / "served" / "a.csv")}
        every(tab._data._use(visit("w"), file, "", "", "", Path(bert_folder()).name, False))
        (key,) = tab.context.tasks("w")
        with gr.Blocks():
            ablate = AblateTab(tab.context)
        assert ("your data: a.csv", key) in ablate._tasks(visit("w"))["choices"]
        assert len(ablate._tasks(visit("other"))["choices"]) == len(task_choices())
        asked: Any = (key, "neat:rank=2", {"depth": [2]}, {"seeds": 1, "steps": 3})
        order = SweepOrder.check(*asked, uploads=tab.context.tasks("w"))
        assert {run.task for run in order.runs()} == {"custom"} and "data=a.csv" in order.command
        fields = {name: getattr(field, "value", None) for name, field in ablate.fields.items()}
        assert ablate.write_link([*(fields | {"ablate_task": key}).values()], "w")["ablate_task"] is None
        with pytest.raises(FieldError, match="upload them again"):
            SweepOrder.check(*asked, uploads=tab.context.tasks("other"))

    def test_refused_before_any_process(self, tab: TrainTab, lab: Context, tmp_path: Path) -> None:
        (only,) = every(tab._data._use(visit("w"), None, "", "", "", "", False))
        assert 'role="alert"' in only[0] and ".csv" in only[0]
        (tmp_path / "served" / "a.csv").write_bytes(csv())
        file = {"path": str(tmp_path / "served" / "a.csv")}
        (only,) = every(tab._data._use(visit(None), file, "", "", "", "", False))
        assert "belongs to its window" in only[0]
        jobs: Any = lab.jobs
        assert jobs.submitted == []
        assert not [*tmp_path.glob("neatlab-data-*")]

    def test_what_takes_too_long_is_stopped_and_removed(
        self, tab: TrainTab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "served" / "a.csv").write_bytes(csv())
        monkeypatch.setattr(Here, "_run", lambda *_: None)
        monkeypatch.setattr(data_form, "TIMEOUT_SECONDS", 0.0)
        file = {"path": str(tmp_path / "served" / "a.csv")}
        *_, last = every(tab._data._use(visit("w"), file, "", "", "", "", False))
        assert "it was stopped" in last[0] and last[4]["interactive"] is True
        assert tab.context.tasks("w") == {} and not [*tmp_path.glob("neatlab-data-*/*")]

    def test_it_hides_with_the_settings_and_alone(self, tab: TrainTab, lab: Context) -> None:
        assert tab.controls["data"][0] is tab._data._accordion
        assert tab._data._accordion.parent in tab.controls["settings"]
        assert tab._data._accordion.open is False
        assert {fn.api_name for fn in build(lab).fns.values() if fn.api_visibility == "public"} == {
            "start",
            "status",
            "list",
            "stop",
        }

    def test_the_kinds_on_offer_are_those_that_are_taken_or_can_be_saved_as_one(self, tab: TrainTab) -> None:
        assert set(tab._data._file.file_types or []) == {*SUFFIXES, *WORKBOOKS}

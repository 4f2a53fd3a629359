"""What the Runs tab gives away: tables, notebooks, reports and adapters."""

import csv
import shlex
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import orjson
import pytest

from neatlab.adapters.methods import METHODS
from neatlab.cli import parser
from neatlab.config import RunConfig, make_arm, make_run, parse_arm
from neatlab.dashboard.replay import worker as replay_worker
from neatlab.dashboard.runs import worker as runs_worker
from neatlab.dashboard.runs.files import check_comparable, commands, write_comparison, write_csv, write_notebook
from neatlab.dashboard.runs.view import curves
from neatlab.dashboard.shared.download_folder import MAX_FILES, DownloadFolder
from neatlab.dashboard.shared.listing import by_task
from neatlab.errors import BadInput
from neatlab.experiments.execute import build, make_task
from neatlab.experiments.plan import Plan
from neatlab.export.formats import ERRORS, SCRIPTS, check_export, export_note, file_name, formats
from neatlab.export.snippet import snippet
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from tests.dashboard_runs import SMALL, four_runs, tiny


@pytest.fixture(autouse=True)
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return four_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def four(folder: Store) -> list[Run]:
    return folder.runs()


class TestFiles:
    @pytest.fixture
    def downloads(self) -> DownloadFolder:
        return DownloadFolder()

    def test_the_csv_is_the_tidy_table(self, four: list[Run], folder: Store, downloads: DownloadFolder) -> None:
        with open(write_csv(four, folder, downloads), encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        assert [row["run"] for row in table] == [run.run_id for run in four]
        assert [float(row["metric"]) for row in table] == [run.summary["metric"] for run in four]

    def test_the_notebook_is_valid_and_repeats_the_view(
        self, four: list[Run], folder: Store, downloads: DownloadFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda figure: None)
        book = nbformat.read(write_notebook(four[:3], folder, downloads), as_version=4)
        nbformat.validate(book)
        names: dict[str, Any] = {}
        for cell in book.cells:
            if cell.cell_type == "code":
                exec(cell.source, names)
        (task,) = by_task(four)
        ours = orjson.loads(curves(four[:3]) or "")["figure"]["data"]
        assert orjson.loads(names["figures"][task].to_json())["data"] == ours
        assert set(names["figures"]) == {task, "effective rank"}
        assert set(names["varied"]) >= {"seed", "method", "metric"}

    def test_a_notebook_quotes_what_it_is_given(self, four: list[Run], downloads: DownloadFolder) -> None:
        root = Path("a\"\nimport os  # '")
        book = nbformat.read(write_notebook(four[:1], Store(root), downloads), as_version=4)
        names: dict[str, Any] = {}
        exec(book.cells[1].source, names)
        assert names["RUNS"] == str(root)
        assert "os" not in names

    def test_the_report_compares_the_selected_runs(
        self, four: list[Run], folder: Store, downloads: DownloadFolder
    ) -> None:
        page = write_comparison(four, folder, downloads).read_text(encoding="utf-8")
        assert all(run.run_id in page for run in four)
        assert "neat:rank=2,depth=2" in page

    def test_a_report_refuses_what_it_would_mix_up(self, four: list[Run], runs: Path) -> None:
        def beside(config: RunConfig) -> list[Run]:
            return [four[0], Run(runs / config.run_id, config, {}, {})]

        tuning = make_run("teacher", make_arm("lora", {"rank": 2}), 5, SMALL, {"steps": 6}, "tune")
        with pytest.raises(BadInput, match=r"one task; selected: digits, teacher"):
            check_comparable(beside(make_run("digits", parse_arm("lora:rank=2"), 0, {}, {})))
        with pytest.raises(BadInput, match="chose a learning rate"):
            check_comparable(beside(tuning))
        with pytest.raises(BadInput, match=r"2 runs are lora:rank=2 with seed 0"):
            check_comparable(beside(tiny("lora", lr=0.5)))
        check_comparable(four)

    def test_the_commands_of_a_report_train_these_very_runs(self, runs: Path) -> None:
        task = {"kind": "low-rank", "d_in": 16}
        arms = [parse_arm(text) for text in ("lora:rank=2", "neat:rank=2,activation=gelu")]
        plain = [make_run("teacher", arm, seed, task, {"steps": 7}) for arm in arms for seed in (0, 1)]
        rated = make_run("teacher", arms[0], 0, {}, {"steps": 7, "lr": 0.123})
        own = make_run("teacher", parse_arm("lora:rank=2,lr=0.2"), 0, {}, {})
        odd = make_run("teacher", arms[0], 0, {}, {"batch_size": 3})
        wanted = [*plain, rated, own, odd]
        lines = commands([Run(runs / config.run_id, config, {}, {}) for config in wanted]).splitlines()
        assert lines[-1] == f"python -m neatlab runs show {odd.run_id}"
        assert len(lines) == 4
        assert {run_id for line in lines[:-1] for run_id in asked(line)} == {run.run_id for run in wanted[:-1]}

    def test_old_files_go_and_the_folder_goes_with_its_window(self, tmp_path: Path) -> None:
        downloads = DownloadFolder()
        paths = [downloads.new_path("a.csv") for _ in range(MAX_FILES + 1)]
        assert [path.parent.exists() for path in paths] == [False] + MAX_FILES * [True]
        assert downloads.folder.is_relative_to(tmp_path)
        downloads.close()
        assert not downloads.folder.exists()
        forgotten = DownloadFolder()
        path = forgotten.folder
        del forgotten
        assert not path.exists()


def asked(command: str) -> list[str]:
    """Ids of the runs that a command trains."""
    words = shlex.split(command.removeprefix("python -m neatlab "))
    given = parser._parser().parse_args(words)
    plan = Plan(given.task, given.arms, {"steps": given.steps}, given.lr, given.match)
    return [run.run_id for run in plan.runs(range(given.seeds))]


class TestAdapters:
    @pytest.mark.parametrize("method", METHODS)
    def test_the_formats_offered_are_those_that_fit_the_method(self, method: str, tmp_path: Path) -> None:
        small = {"rank": 2, "block_size": 8, "n_frequency": 8}
        options = {name: value for name, value in small.items() if name in METHODS[method].options.model_fields}
        config = make_run("teacher", make_arm(method, options), 0, SMALL, {})
        run = Run(tmp_path / config.run_id, config, {}, {"status": "finished"})
        if method == "head":
            assert formats(run) == ("merged",)  # a linear teacher has no head to build it with
            return
        adapted = build(config, make_task(config))
        for format in formats(run):
            try:
                METHODS[method].forms[format](adapted, tmp_path / format)
            except BadInput as error:
                assert "transformers model" in str(error)  # which the teacher's base is not

    def test_an_export_that_cannot_be_is_refused_before_it_starts(self, four: list[Run], runs: Path) -> None:
        lora = next(run for run in four if run.config.arm.method == "lora")
        for format in ("peanut", None, 3, ["lora"], "../lora"):
            with pytest.raises(BadInput, match="can be written as lora, neat, merged"):
                check_export(lora, format)
            with pytest.raises(BadInput, match="can be written as lora, neat, merged"):
                file_name(lora, format)
        with pytest.raises(BadInput, match="only a finished run"):
            check_export(Run(runs / "x", lora.config, {}, {}), "lora")

    def test_the_archive_holds_an_adapter_that_peft_loads(
        self, four: list[Run], folder: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs_worker, "begin", lambda: None)
        neat, lora = (next(r for r in four if r.config.arm.method == m) for m in ("neat", "lora"))
        said = archive(folder, neat, "lora", tmp_path)
        assert said == []
        with zipfile.ZipFile(tmp_path / "lora.zip") as made:
            names = {Path(name).name for name in made.namelist() if not name.endswith("/")}
            config = orjson.loads(made.read(f"{neat.run_id}-lora/adapter_config.json"))
        assert names == {"README.md", "adapter_config.json", "adapter_model.safetensors", "neatlab.json"}
        assert (config["peft_type"], config["r"]) == ("LORA", 2)
        assert export_note(tmp_path / "lora.zip") == ""
        assert archive(folder, lora, "neat", tmp_path) == []
        with zipfile.ZipFile(tmp_path / "neat.zip") as made:
            errors = orjson.loads(made.read(f"{lora.run_id}-neat/{ERRORS}"))
        assert f"{max(errors.values()):.1e} of its norm" in export_note(tmp_path / "neat.zip")

    @pytest.mark.parametrize("form", SCRIPTS)
    def test_the_script_is_the_command_line_s(
        self, form: str, four: list[Run], folder: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs_worker, "begin", lambda: None)
        target = tmp_path / file_name(four[2], form)
        pipe: Any = SimpleNamespace(send=pytest.fail)
        runs_worker.write((four[2].run_id, form, str(target)), str(folder.root), pipe)
        assert target.name == f"{four[2].run_id}-{form}.py"
        assert target.read_text(encoding="utf-8") == snippet(four[2], form)
        assert export_note(target) == ""
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [target.name]

    def test_a_refused_export_leaves_nothing(
        self, four: list[Run], folder: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs_worker, "begin", lambda: None)
        lora = next(run for run in four if run.config.arm.method == "lora")
        ((kind, part, said),) = archive(folder, lora, "peanut", tmp_path)
        assert (kind, part) == ("refused", "run")
        assert "cannot be written as peanut" in said
        assert not list(tmp_path.glob("*.zip"))

    def test_a_refused_replay_leaves_nothing(
        self, four: list[Run], folder: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(replay_worker, "begin", lambda: None)
        said: list[tuple[str, ...]] = []
        pipe: Any = SimpleNamespace(send=said.append)
        target = tmp_path / "replay.html"
        replay_worker.write(([four[0].run_id, "0123456789ab"], str(target)), str(folder.root), pipe)
        ((kind, part, text),) = said
        assert (kind, part) == ("refused", "run")
        assert "no run 0123456789ab" in text
        assert not target.exists()


def archive(store: Store, run: Run, format: str, out: Path) -> list[tuple[str, ...]]:
    """Write an archive; returns what the process says."""
    said: list[tuple[str, ...]] = []
    pipe: Any = SimpleNamespace(send=said.append)
    runs_worker.write((run.run_id, format, str(out / f"{format}.zip")), str(store.root), pipe)
    return said

"""What acts cannot do is said in one line before there is anything at the target."""

import json
import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import neatlab
from neatlab.adapters import folders
from neatlab.cli import main
from neatlab.config import make_arm, make_run
from neatlab.editing import ACTS
from neatlab.errors import BadInput
from neatlab.experiments.execute import execute
from neatlab.runs.store import Store
from tests.adapters import CONFIG, SQUARE, TENSORS, change, configure, write_adapter, write_base

WRONG = {
    "compress": r"act 'compress': one of rank=, energy=, threshold= and parameters=, such as compress:rank=4",
    "compress:rank=2,energy=0.5": "one of rank=, energy=, threshold= and parameters=",
    "compress:rank=0": "rank='0': input should be greater than or equal to 1",
    "compress:rank=two": "rank='two': input should be a valid integer",
    "compress:ranks=2": "unknown option of act 'compress' 'ranks'; .*did you mean 'rank'",
    "compress:rank": "'rank' is not of the form name=value",
    "compress:energy=0": "energy='0': input should be greater than 0",
    "compress:energy=1.5": "energy='1.5': input should be less than or equal to 1",
    "compress:energy=0,9": "'9' is not of the form name=value",
    "compress:threshold=noise": "threshold='noise': input should be 'marchenko-pastur' or 'optimal'",
    "compress:parameters=50": "would leave rank 0 in a layer; rank 1 in all 3 takes 88",
    "scale": "factor: field required|act 'scale': .*required",
    "scale:factor=0": "factor=0 leaves ΔW = 0",
    "scale:factor=nan": "factor='nan': input should be a finite number",
    "rewind:alpha=0": "alpha='0': input should be greater than 0",
    "rewind:alpha=1.2": "alpha='1.2': input should be less than or equal to 1",
    "drop-direction:index=0": "index='0': whole numbers from 1",
    "drop-direction:index=1+x": "whole numbers from 1",
    "drop-direction:index=5": f"layer {SQUARE} has 4 directions; index=5 is not among them",
    "drop-direction:index=1+2+3+4": f"leaves rank 0 in layer {SQUARE}",
    "drop-direction:index=1,layers=v": "unknown layer of drop-direction 'v'; allowed: down, q, up",
    "keep-layers": "pattern",
    "keep-layers:pattern=qq": "unknown layer of keep-layers 'qq'; allowed: down, q, up; did you mean 'q'",
    "keep-layers:pattern=+": "names no layer",
    "reduce-intruders:lambda=1.5": "lambda='1.5': input should be less than or equal to 1",
    "reduce-intruders:lambda=-0.1": "lambda='-0.1': input should be greater than or equal to 0",
    "reduce-intruders:lambd=0.5": "unknown option of act 'reduce-intruders' 'lambd'; .*did you mean 'lambda'",
    "reduce-intruders": "reduce-intruders needs W₀; give the model with --base",
    "convert:to=dora": "to='dora': input should be 'lora' or 'neat'",
    "merge": "with",
    "prune:rank=2": "unknown act 'prune'; allowed: compress, convert",
    "reweight": "give the task too",
    "reweight:strength=1": "strength='1': input should be less than 1",
}


@pytest.fixture(scope="module")
def lora(tmp_path_factory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("bad") / "lora")


def refused(adapter: Path, message: str, tmp_path: Path, acts: tuple[str, ...] = ("compress:rank=2",)) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(BadInput, match=message) as refusal:
        neatlab.edit(adapter, acts, tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("act", WRONG)
def test_a_wrong_act_is_refused(act, lora, tmp_path):
    refused(lora, WRONG[act], tmp_path, (act,))


def test_every_act_has_a_wrong_one():
    assert {act.partition(":")[0] for act in WRONG} >= set(ACTS)


class TestAdapters:
    def test_a_layer_that_no_act_knows_is_taken_out_or_refused(self, tmp_path):
        folder = write_adapter(tmp_path / "embedded")
        prefix = "base_model.model.table.lora_embedding_"
        state = load_file(folder / TENSORS)
        save_file({**state, f"{prefix}A": torch.ones(2, 8), f"{prefix}B": torch.ones(4, 2)}, folder / TENSORS)
        refused(folder, "table is an embedding; .* take it out with keep-layers", tmp_path)
        refused(folder, "keep-layers: table is an embedding", tmp_path, ("keep-layers:pattern=table",))
        neatlab.edit(folder, ["keep-layers:pattern=blocks.*"], tmp_path / "out")
        assert f"{prefix}A" not in load_file(tmp_path / "out" / TENSORS)

    @pytest.mark.parametrize("name", ["a(b+)+$", "q\nx", "ü" * 200, "a b"])
    def test_hostile_names_of_layers(self, name, tmp_path):
        folder = write_adapter(tmp_path / "hostile")
        state = load_file(folder / TENSORS)
        save_file({key.replace(SQUARE, name): tensor for key, tensor in state.items()}, folder / TENSORS)
        refused(folder, "names of layers are letters, digits|names of tensors are printable", tmp_path)

    @pytest.mark.parametrize("name", ["..", "__class__", "training", "forward", "../../etc.passwd", "_modules"])
    def test_names_that_mean_something_to_python_or_to_a_shell(self, name, tmp_path):
        """Refused, or a name like any other: nothing is written but the folder's two files."""
        folder = write_adapter(tmp_path / "hostile")
        state = load_file(folder / TENSORS)
        save_file({key.replace(SQUARE, name): tensor for key, tensor in state.items()}, folder / TENSORS)
        try:
            neatlab.edit(folder, ["compress:rank=2"], tmp_path / "out")
        except BadInput:
            assert not (tmp_path / "out").exists()
        else:
            assert {path.name for path in (tmp_path / "out").iterdir()} == {CONFIG, TENSORS}

    def test_damaged_and_hostile_files(self, lora, tmp_path):
        folder = write_adapter(tmp_path / "torn")
        whole = (folder / TENSORS).read_bytes()
        (folder / TENSORS).write_bytes(whole[: len(whole) // 2])
        refused(folder, "is not a whole safetensors file", tmp_path)
        (folder / TENSORS).unlink()
        (folder / "adapter_model.bin").write_bytes(b"")
        refused(folder, "holds pickled weights", tmp_path)
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
            archive.writestr("../adapter_config.json", "{}")
        refused(tmp_path / "evil.zip", "leads out of its folder", tmp_path)
        refused(tmp_path / "nothing", "is neither a folder, a file nor the id of a run", tmp_path)
        refused(tmp_path, "holds no adapter_config.json and no LoRA file; give one of them", tmp_path)

    def test_nan_and_what_does_not_fit(self, tmp_path):
        folder = write_adapter(tmp_path / "nan")
        change(folder, lambda name, t: t * float("nan"))
        refused(folder, "NaN or infinite", tmp_path)
        half = write_adapter(tmp_path / "half")
        change(half, lambda name, t: (t * 300).half())
        refused(half, r"ΔW is too large for torch\.float16", tmp_path, ("scale:factor=900000", "compress:rank=2"))

    def test_settings_that_acts_would_lose(self, tmp_path):
        folder = write_adapter(tmp_path / "biased")
        configure(folder, lora_bias=True)
        refused(folder, "lora_bias=True", tmp_path)
        neat = write_adapter(tmp_path / "neat", "neat")
        configure(neat, use_dora=True)
        refused(neat, "a NEAT with magnitudes", tmp_path)
        configure(neat, use_dora=False)
        refused(neat, "depends on W₀; give the model with --base", tmp_path)

    def test_heads_that_differ_are_not_merged(self, lora, tmp_path):
        headed = write_adapter(tmp_path / "headed")
        state = load_file(headed / TENSORS)
        save_file({**state, "base_model.model.classifier.weight": torch.ones(2, 12)}, headed / TENSORS)
        refused(lora, "headed trained base_model.model.classifier.weight whole", tmp_path, (f"merge:with={headed}",))


class TestTarget:
    def test_a_folder_that_is_not_free(self, lora, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        refused(lora, "is not empty; give a folder that does not exist yet", tmp_path)
        assert (tmp_path / "out" / "mine.txt").read_text() == "mine"

    def test_a_disk_that_fills_leaves_nothing(self, tmp_path):
        """The real writer under a limit on the size of files: what a full disk does, at the same place."""
        folder = write_adapter(tmp_path / "large")
        with small_files(600):
            refused(folder, "out cannot be written: .*; choose another folder", tmp_path)

    def test_an_error_while_writing_leaves_nothing(self, lora, tmp_path, monkeypatch):
        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(folders, "save_file", full)
        refused(lora, "out cannot be written: No space left on device; choose another folder", tmp_path)


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    store = Store(tmp_path_factory.mktemp("runs"))
    options, training = {"d_in": 12, "d_out": 12}, {"steps": 3, "batch_size": 8}
    for method in ("lora", "neat", "full"):
        config = make_run("teacher", make_arm(method, {} if method == "full" else {"rank": 4}), 0, options, training)
        for _ in execute(config, store):
            pass
    return store


class TestRuns:
    def ids(self, store: Store) -> dict[str, str]:
        return {run.config.arm.method: run.run_id for run in store.runs()}

    @pytest.mark.parametrize("method", ["lora", "neat"])
    def test_a_run_is_named_by_its_id_and_knows_its_base(self, method, store, tmp_path, capsys):
        words = ["edit", self.ids(store)[method], "--runs", str(store.root), "--act", "compress:rank=2"]
        assert main([*words, "--act", "reduce-intruders", "--out", str(tmp_path / "out"), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["type_after"] == "LORA"
        assert neatlab.inspect(tmp_path / "out").layers[0].requested_rank == 2

    def test_two_runs_are_merged(self, store, tmp_path):
        ids = self.ids(store)
        done = neatlab.edit(ids["lora"], [f"merge:with={ids['neat']}"], tmp_path / "out", runs=store.root)
        assert {layer.rank_after for layer in done.layers} == {8}

    def test_what_is_no_run_for_acts(self, store, lora, tmp_path):
        for run, options, message in [
            (self.ids(store)["full"], {}, "a full run has no adapter"),
            ("0123456789ab", {}, "0123456789ab"),
            (self.ids(store)["lora"], {"base": write_base(tmp_path / "base")}, "a run knows its own"),
        ]:
            with pytest.raises(BadInput, match=message):
                neatlab.edit(run, ["compress:rank=2"], tmp_path / "out", runs=store.root, **options)
        assert not (tmp_path / "out").exists()

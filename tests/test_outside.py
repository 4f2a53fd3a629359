"""Trainings outside neatlab: written down by a callback while they go, and read as any run; never trained over."""

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from peft import LoraConfig, PeanutConfig, PeftModel, PromptTuningConfig, get_peft_model
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import TrainerControl, TrainerState

import neatlab
from neatlab import BadInput, NeatConfig, NeatlabCallback, StoreError
from neatlab.adapters.attach import quiet_peft, tuner_layers, weight_of
from neatlab.cli import main
from neatlab.config import RunConfig
from neatlab.dashboard.runs.files import commands, write_comparison
from neatlab.dashboard.runs.table import row
from neatlab.dashboard.runs.view import curves, difference_table, watching
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.download_folder import DownloadFolder
from neatlab.dashboard.shared.listing import by_task, read_store
from neatlab.dashboard.train.follow import follow, update
from neatlab.dashboard.train.link import TrainLink
from neatlab.dashboard.train.tab import TrainTab
from neatlab.export.adapters import export
from neatlab.export.snippet import snippet
from neatlab.inspection.runs import compare_runs, inspect_run
from neatlab.runs.outside import OutsideRun
from neatlab.runs.run import Run, read_run
from neatlab.runs.store import Store
from tests.models import MODELS, TOKENS

LLAMA = MODELS["llama"]
STEPS, BETWEEN = 8, 4
CONFIGS: dict[str, Any] = {
    "lora": LoraConfig(r=3, lora_alpha=6, target_modules=LLAMA.targets),
    "dora": LoraConfig(r=3, lora_alpha=3, use_dora=True, target_modules=LLAMA.targets),
    "pissa": LoraConfig(r=3, lora_alpha=3, init_lora_weights="pissa", target_modules=LLAMA.targets),
    "neat": NeatConfig(r=3, depth=3, residual="none", activation="gelu", target_modules=LLAMA.targets),
    "peanut": PeanutConfig(r=3, depth=0, act_fn="relu", target_modules=LLAMA.targets),
}


def rows(seed: int) -> list[dict[str, torch.Tensor]]:
    ids = torch.randint(TOKENS, (6, 8), generator=torch.Generator().manual_seed(seed))
    return [{"input_ids": ids_of, "labels": ids_of} for ids_of in ids]


def adapted(name: str) -> PeftModel:
    torch.manual_seed(1)
    with quiet_peft():
        return get_peft_model(LLAMA.build(), copy.deepcopy(CONFIGS[name]))


def trainer(folder: Path, callbacks: list[TrainerCallback], name: str = "lora", **more: Any) -> Trainer:
    settings: dict[str, Any] = {
        "max_steps": STEPS,
        "learning_rate": 0.05,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "save_steps": BETWEEN,
        "eval_strategy": "steps",
        "eval_steps": BETWEEN,
        "logging_steps": 1,
        "disable_tqdm": True,
        "report_to": [],
        "use_cpu": True,
        **more,
    }
    return Trainer(
        adapted(name),
        TrainingArguments(folder, **settings),
        train_dataset=rows(0),
        eval_dataset=rows(1),
        compute_metrics=lambda given: {"spread": float(given.predictions.std())},
        callbacks=callbacks,
    )


def losses(done: Trainer) -> list[float]:
    return [entry["loss"] for entry in done.state.log_history if "loss" in entry]


def of_type(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in run.events if event["type"] == kind]


def shaken(model: PeftModel) -> PeftModel:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    return model


def dense(model: PeftModel) -> dict[str, torch.Tensor]:
    """Layer → ΔW, from PEFT's own merge."""
    names = [name for name, _ in tuner_layers(model)]
    merged, base = copy.deepcopy(model).merge_and_unload(), LLAMA.build()
    return {
        name: weight_of(merged.get_submodule(name)).double() - weight_of(base.get_submodule(name)).double()
        for name in names
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def done(folder: Path) -> Trainer:
    live = NeatlabCallback(folder / "runs", every=BETWEEN, name="tokens", metric="spread", higher_is_better=False)
    trained = trainer(folder / "lora", [live])
    trained.train()
    trained.predict(rows(2))
    return trained


@pytest.fixture(scope="module")
def run(folder: Path, done: Trainer) -> Run:
    (only,) = Store(folder / "runs").runs()
    return only


def test_a_trainers_curves_are_the_runs(done: Trainer, run: Run) -> None:
    assert run.status == "finished"
    assert [event["loss"] for event in of_type(run, "Step")] == losses(done)
    assert of_type(run, "Step")[0]["lr"] == pytest.approx(0.05)
    scored = [entry for entry in done.state.log_history if "eval_loss" in entry]
    validation = [event for event in of_type(run, "Evaluated") if event["split"] == "validation"]
    assert [(e["step"], e["loss"], e["metric"]) for e in validation] == [
        (e["step"], e["eval_loss"], e["eval_spread"]) for e in scored
    ]
    assert run.summary["metric"] == of_type(run, "Evaluated")[-1]["metric"]  # of `predict`, after the end
    assert run.summary["adapter_params"] == sum(p.numel() for p in done.model.parameters() if p.requires_grad)
    assert isinstance(run.config, OutsideRun)
    training = run.config.training
    assert (training.steps, training.batch_size, training.schedule, training.spectrum_every) == (8, 4, "linear", 4)


def test_its_spectra_are_those_of_the_weights(done: Trainer, run: Run) -> None:
    events = of_type(run, "SpectrumMeasured")
    assert [event["step"] for event in events if event["layer"] == events[0]["layer"]] == [0, BETWEEN, STEPS]
    assert all(event["norm"] == 0 for event in events if event["step"] == 0)
    last = {event["layer"]: event for event in events if event["step"] == STEPS}
    for name, change in dense(done.model).items():
        values = torch.linalg.svdvals(change)[:3]
        assert torch.allclose(torch.tensor(last[name]["singular_values"]).double(), values, atol=1e-5)
        weight = weight_of(LLAMA.build().get_submodule(name))
        assert last[name]["relative_norm"] == pytest.approx(float(change.norm() / weight.norm()), rel=1e-3)


def test_every_reader_of_runs_takes_it(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing = read_store(Store(folder / "runs"))
    assert listing.damaged == {}
    assert [*by_task([run])] == ["from outside: tokens, spread"]
    assert row(run, False)[1:4] == ["finished", "from outside: tokens, spread", run.config.arm.label]
    assert run.config.arm.label == "lora:modules=down_proj+q_proj+up_proj+v_proj,rank=3,alpha=6"
    assert "from outside: tokens" in str(curves([run]))
    assert commands([run]) == f"python -m neatlab runs show {run.run_id}"
    tables = neatlab.load_runs(folder / "runs")
    assert set(tables.spectra()["step"]) == {0, BETWEEN, STEPS}
    assert set(tables.curves()["split"]) == {"train", "validation", "test"}
    assert main(["runs", "list", "--runs", str(folder / "runs")]) == 0
    assert f"{run.run_id}  from outside: tokens, spread  lora:" in capsys.readouterr().out
    assert main(["runs", "show", run.run_id, "--runs", str(folder / "runs")]) == 0
    assert "outside" in capsys.readouterr().out


def test_it_is_inspected_and_exported(done: Trainer, run: Run, tmp_path: Path) -> None:
    opened = inspect_run(run)
    for layer in opened.layers:
        assert layer.spectrum.norm == pytest.approx(float(dense(done.model)[layer.name].norm()), rel=1e-4)
    assert export(run, "lora", tmp_path / "lora") == {}
    with quiet_peft():
        loaded = PeftModel.from_pretrained(LLAMA.build(), tmp_path / "lora")
    assert torch.equal(LLAMA.logits(loaded), LLAMA.logits(done.model))
    assert neatlab.edit(run.run_id, ["compress:rank=2"], tmp_path / "small", runs=run.path.parent).layers
    with pytest.raises(BadInput, match="cannot be written as merged: its base"):
        export(run, "merged", tmp_path / "merged")


def test_the_train_tab_follows_it_live(tmp_path: Path) -> None:
    live, context = NeatlabCallback(tmp_path, every=1), Context(Store(tmp_path), None)  # type: ignore[arg-type]
    live.begin(model := adapted("lora"), steps=3, lr=0.1)
    tab = build_tab(context)
    tab.read_link(TrainLink(watch=live.run_id), "w")
    window = tab._windows.get("w")
    going = follow(window, context)
    assert next(going).phase == "watching"  # type: ignore[union-attr]
    shaken(model)
    live.step(2.0)
    window.has_drawn = True
    now = update(window, context)
    assert "It goes on." in now.status and "Step 1 of 3." in now.status
    assert now.layers == tuple(dict(tuner_layers(model)))
    charts = {name: json.loads(value) for name, value in now.charts.items() if value}
    assert {"learning", "spectrum", "map", "layers"} <= charts.keys()
    assert tab.write_link([*tab._form.defaults.values()], "w")["watch"] == live.run_id
    assert "tab=train&amp;watch=x" in watching(Store(tmp_path).runs())
    os.utime(tmp_path / str(live.run_id) / "events.jsonl", (0, 0))
    assert update(window, context).phase == "shown"
    assert "Ended without a summary." in update(window, context).status
    live.end()
    assert "Done." in update(window, context).status
    *_, last = going
    assert last is not None and last.phase == "shown"
    assert watching(Store(tmp_path).runs()) == ""
    tab.read_link(TrainLink(watch="x00000000000"), "w")
    assert "no run x00000000000" in str(tab._windows.get("w").refusal)


def build_tab(context: Context) -> TrainTab:
    with gr.Blocks():
        return TrainTab(context)


def test_what_needs_its_model_or_data_is_refused(run: Run) -> None:
    for ask in (neatlab.rewind, snippet):
        with pytest.raises(BadInput, match="neither its model nor its data"):
            ask(run)
    with pytest.raises(BadInput, match="unknown task 'outside'"):
        neatlab.compare("outside", ["lora"], runs=run.path.parent)


def test_no_run_of_ours_can_have_its_name(run: Run) -> None:
    assert run.run_id[0] == "x"
    config = RunConfig.parse({**run.config.model_dump(exclude={"id"}), "task": "teacher"}, "run")
    assert set(config.run_id) <= set("0123456789abcdef")


@pytest.mark.parametrize("change", [{"id": "x00000000000"}, {"task": "digits"}, {"seed": 1}])
def test_a_changed_record_is_damaged(run: Run, tmp_path: Path, change: dict[str, Any]) -> None:
    path = Path(shutil.copytree(run.path, tmp_path / run.run_id))
    stored = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**stored, "run": {**stored["run"], **change}}))
    with pytest.raises(StoreError):
        read_run(path)


class Killed(BaseException):
    """What no handler of the Trainer's sees, as it sees no −9."""


class Killer(TrainerCallback):
    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        if state.global_step == BETWEEN + 2:
            raise Killed


def test_what_is_killed_goes_on_from_a_checkpoint_in_its_directory(done: Trainer, tmp_path: Path) -> None:
    first = NeatlabCallback(tmp_path / "runs", every=2)
    broken = trainer(tmp_path / "out", [first, Killer()])
    with pytest.raises(Killed):
        broken.train()
    (run,) = Store(tmp_path / "runs").runs()
    with (run.path / "events.jsonl").open("ab") as events:
        events.write(b'{"type": "Ste')
    assert (run.status, run.summary, max(event["step"] for event in of_type(run, "Step"))) == ("unfinished", {}, 5)
    assert Store(tmp_path / "runs").finished(run.config) is None

    second = NeatlabCallback(tmp_path / "runs", every=2)
    resumed = trainer(tmp_path / "out", [second])
    resumed.train(resume_from_checkpoint=True)
    (after,) = Store(tmp_path / "runs").runs()
    assert (after.run_id, after.status, second.run_id) == (run.run_id, "finished", run.run_id)
    assert [event["step"] for event in of_type(after, "Step")] == [*range(1, STEPS + 1)]
    assert [event["loss"] for event in of_type(after, "Step")] == losses(done)
    assert sorted({event["step"] for event in of_type(after, "SpectrumMeasured")}) == [0, 2, 4, 6, 8]
    with pytest.warns(UserWarning, match="started anew elsewhere"):
        first.step(1.0)  # the first, were it not dead after all
    assert Store(tmp_path / "runs").get(run.run_id).summary == after.summary

    third = NeatlabCallback(tmp_path / "runs")
    again = trainer(tmp_path / "out", [third], max_steps=STEPS + 1)
    again.train(resume_from_checkpoint=str(tmp_path / "out" / f"checkpoint-{BETWEEN}"))
    assert third.run_id != run.run_id  # that one has ended, and stays as it is
    assert Store(tmp_path / "runs").get(run.run_id).summary == after.summary


@pytest.mark.parametrize("name", CONFIGS)
def test_a_loop_of_ones_own_with_any_method(name: str, tmp_path: Path) -> None:
    model, live = adapted(name), NeatlabCallback(tmp_path, every=1)
    live.begin(model, steps=2, lr=0.1)
    shaken(model)
    live.step(torch.tensor(2.0), lr=0.1)
    live.evaluated(1.5)
    live.evaluated(1.25, split="test")
    live.end()
    (run,) = Store(tmp_path).runs()
    assert (run.status, run.config.arm.method, run.summary["metric"]) == ("finished", name, 1.25)
    assert "rank=3" in run.config.arm.label
    first, last = ({e["layer"]: e for e in of_type(run, "SpectrumMeasured") if e["step"] == step} for step in (0, 1))
    wanted = dense(model)
    assert first.keys() == last.keys() == wanted.keys()
    for layer, change in wanted.items():
        assert first[layer]["norm"] < 1e-5
        assert last[layer]["norm"] == pytest.approx(float(change.norm()), rel=1e-3)


def test_two_are_compared_and_a_neat_finds_its_base(tmp_path: Path) -> None:
    LLAMA.build().save_pretrained(tmp_path / "base")
    for name in ("lora", "neat"):
        torch.manual_seed(1)
        with quiet_peft():
            model = get_peft_model(type(LLAMA.build()).from_pretrained(tmp_path / "base"), copy.deepcopy(CONFIGS[name]))
        live = NeatlabCallback(tmp_path / "runs")
        live.begin(shaken(model), lr=0.1)
        live.step(2.0)
        live.evaluated(1.0, split="test")
        live.end()
    runs = Store(tmp_path / "runs").runs()
    assert [*by_task(runs)] == ["from outside: base, loss"]
    assert "settings that differ" in difference_table(runs).lower()
    assert len(compare_runs(runs).pairs) == len(inspect_run(runs[1]).layers)
    assert export(runs[1], "lora", tmp_path / "as-lora") == {}
    assert write_comparison(runs, Store(tmp_path / "runs"), DownloadFolder()).exists()


def test_an_adapter_of_any_name_and_one_that_transformers_put_there(tmp_path: Path) -> None:
    torch.manual_seed(1)
    named, own = LLAMA.build(), LLAMA.build()
    with quiet_peft():
        named = get_peft_model(named, copy.deepcopy(CONFIGS["lora"]), adapter_name="mine")
        own.add_adapter(copy.deepcopy(CONFIGS["lora"]), "own")
    for model in (named, own):
        live = NeatlabCallback(tmp_path)
        live.begin(shaken(model))
        live.step(1.0)
        live.end()
        opened = inspect_run(Store(tmp_path).get(str(live.run_id)))
        assert len(opened.layers) == len(dict(tuner_layers(model)))
        assert all(layer.spectrum.norm > 0.01 for layer in opened.layers)


def test_without_an_adapter_there_are_curves_alone(tmp_path: Path) -> None:
    live = NeatlabCallback(tmp_path)
    live.begin(LLAMA.build())
    live.step(2.0)
    live.end()
    (run,) = Store(tmp_path).runs()
    assert (run.config.arm.label, len(of_type(run, "Step")), of_type(run, "SpectrumMeasured")) == ("full", 1, [])
    with pytest.raises(BadInput, match="keeps no adapter"):
        inspect_run(run)


def test_the_main_process_alone_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live, state = NeatlabCallback(tmp_path), TrainerState(is_world_process_zero=False)
    arguments = TrainingArguments(tmp_path / "out", report_to=[], use_cpu=True)
    live.on_train_begin(arguments, state, TrainerControl(), model=adapted("lora"))
    for name, value in {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    live.begin(adapted("lora"))
    live.step(1.0)
    live.end()
    assert not [*tmp_path.glob("x*")]


def test_a_run_that_is_deleted_does_not_end_the_training(tmp_path: Path) -> None:
    live = NeatlabCallback(tmp_path)
    live.begin(adapted("lora"))
    Store(tmp_path).delete(str(live.run_id))
    with pytest.warns(UserWarning, match="the training goes on, and is written down no more") as warned:
        live.step(1.0)
        live.step(1.0)
        live.end()
    assert len(warned) == 1


def test_weights_that_are_no_numbers_have_no_spectrum(tmp_path: Path) -> None:
    model, live = adapted("lora"), NeatlabCallback(tmp_path, every=1)
    live.begin(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan) if parameter.requires_grad else None
    live.step(float("nan"))
    live.end()
    (run,) = Store(tmp_path).runs()
    assert {event["step"] for event in of_type(run, "SpectrumMeasured")} == {0}
    assert run.status == "finished"


def test_wrong_requests_are_one_line_before_work_starts(tmp_path: Path) -> None:
    for every in (0, 2.5, True, "10"):
        with pytest.raises(BadInput, match="allowed: a number of steps from 1, or None"):
            NeatlabCallback(tmp_path, every=every)
    live = NeatlabCallback(tmp_path)
    with pytest.raises(BadInput, match="no run 'x00000000000' from outside that could go on"):
        live.begin(adapted("lora"), run_id="x00000000000")
    with pytest.raises(BadInput, match="allowed: validation, test"):
        live.evaluated(1.0, split="train")
    with quiet_peft():
        prompt = get_peft_model(LLAMA.build(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(BadInput, match="ΔW of a PROMPT_TUNING adapter is not known here; allowed: LORA"):
        live.begin(prompt)
    assert not [*tmp_path.glob("x*")]

"""What `neatlab snippet` prints is run as it stands, and trains what neatlab trains: config, rates and weights."""

import ast
import gc
import json
import runpy
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from neatlab.adapters.methods import METHODS
from neatlab.cli import main
from neatlab.config import RunConfig, make_arm, make_run, parse_arm
from neatlab.errors import BadInput
from neatlab.events import Step
from neatlab.experiments.execute import build, execute, make_task
from neatlab.export.formats import SCRIPTS
from neatlab.export.snippet import snippet
from neatlab.runs.store import Store
from neatlab.schema import Schema
from neatlab.tasks import TASKS
from neatlab.tasks.base import Score, Task, size
from neatlab.tasks.metrics import METRICS
from neatlab.training.loop import rate_factor, train
from tests.folders import bert_folder
from tests.models import GPT2, MODELS, Tiny

SMALL = {"rank": 2, "n_frequency": 20, "block_size": 4}
GIVEN = {"steps": 5, "batch_size": 2, "warmup": 0.4}
HARD = {
    "steps": 4,
    "batch_size": 4,
    "accumulate": 3,
    "precision": "bfloat16",
    "gradient_checkpointing": True,
    "schedule": "cosine",
    "weight_decay": 0.1,
    "lr": 2e-3,
}
HARD_ARMS = {  # gpt2's layers are Conv1D, which LoRA's config has to say
    "llama": "neat:rank=2,depth=4,activation=gelu,scaling=0.5",
    "bert": "ia3:side=in",
    "gpt2": "lora:rank=2,alpha=3",
}
APART = ("params", "lr", "peak", "initial_lr", "param_names")  # of an optimiser's group: looked at apart

HARD_MODELS = {"llama": MODELS["llama"], "bert": MODELS["bert"], "gpt2": GPT2}

forms = pytest.mark.parametrize("form", SCRIPTS)


class NoOptions(Schema):
    pass


class StandIn(Task):
    """A tiny transformers model on its few examples."""

    title, metric, options = "a stand-in", METRICS["accuracy"].metric, NoOptions
    training = {"steps": 5, "batch_size": 2, "lr": 1e-2, "head_lr": 3e-3}
    tiny: Tiny

    def __init__(self, options: NoOptions) -> None:
        self.targets, self.head = self.tiny.targets, self.tiny.head

    def base_model(self) -> nn.Module:
        return self.tiny.build()

    def split(self, name: str) -> dict[str, Tensor]:
        return self.tiny.batch

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return model(**batch).loss

    def weight(self, batch: dict[str, Tensor]) -> int:
        labels = batch["labels"]
        return len(labels) if labels.ndim == 1 else int((labels[:, 1:] != -100).sum())

    def score(self, model: nn.Module, name: str) -> Score:
        return Score(0.0, 0.0, {})


@dataclass
class Trained:
    """What an optimiser was seen to do, and what came of it."""

    kind: type | None = None
    groups: list[dict[str, Any]] = field(default_factory=list)
    rates: list[list[float]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    config: Any = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)

    def see(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self.kind = torch.optim.AdamW if isinstance(optimizer, torch.optim.AdamW) else type(optimizer)
        self.groups = [{n: v for n, v in group.items() if n not in APART} for group in optimizer.param_groups]
        self.counts = [sum(p.numel() for p in group["params"]) for group in optimizer.param_groups]
        self.rates.append([group["lr"] for group in optimizer.param_groups])

    def keep(self, model: nn.Module) -> None:
        self.config = model.peft_config["default"] if isinstance(model, PeftModel) else None
        self.weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def in_the_lab(config: RunConfig) -> Trained:
    trained, task = Trained(), make_task(config)
    adapted = build(config, task)
    hook = register_optimizer_step_pre_hook(trained.see)
    try:
        events = list(train(adapted, task, config.training, config.seed, test=False))
    finally:
        hook.remove()
    trained.losses = [event.loss for event in events if isinstance(event, Step)]
    trained.keep(adapted.model)
    return trained


def filled_in(model: Any, batch: Mapping[str, Tensor]) -> None:
    """Put model and examples where a script looks for them; the folder asks for another precision than the lab's."""
    model.save_pretrained("my-model")
    config = Path("my-model/config.json")
    config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "bfloat16"}))
    rows = [{name: column[i] for name, column in batch.items()} for i in range(size(batch))]
    torch.save(rows, "my-examples.pt")


def imported(script: str) -> set[str]:
    """The packages that a script imports."""
    nodes = list(ast.walk(ast.parse(script)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def by_script(script: str, tiny: Tiny, capsys: Any) -> Trained:
    """Run the script as it stands, where neatlab is not installed unless it imports that."""
    filled_in(tiny.build(), tiny.batch)
    Path("script.py").write_text(script, encoding="utf-8")
    trained = Trained()
    capsys.readouterr()
    hook = register_optimizer_step_pre_hook(trained.see)
    try:
        with pytest.MonkeyPatch.context() as patch:
            if "neatlab" not in imported(script):
                patch.setitem(sys.modules, "neatlab", None)
            names = runpy.run_path("script.py")
    finally:
        hook.remove()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    trained.losses = [float(words[1]) for words in lines if len(words) == 2 and words[0].isdecimal()]
    trained.keep(names["model"])
    return trained


def alike(tiny: Tiny) -> Tiny:
    """With examples that are all the same, so that their order, the Trainer's own, does not matter."""
    return replace(tiny, batch={name: column[:1].expand_as(column).clone() for name, column in tiny.batch.items()})


def dropping(tiny: Tiny) -> Tiny:
    """With dropout, where the model can have it."""

    def build() -> nn.Module:
        model: Any = tiny.build()
        for name in [name for name in vars(model.config) if name.endswith(("dropout_prob", "_pdrop"))]:
            setattr(model.config, name, 0.3)
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return type(model)(model.config)

    return replace(tiny, build=build)


def partly_counted(tiny: Tiny) -> Tiny:
    """With examples whose loss counts more tokens in one than in another."""
    labels = tiny.batch["labels"].clone()
    if labels.ndim == 2:
        labels[1:, :3], labels[2, :6] = -100, -100
    return replace(tiny, batch={**tiny.batch, "labels": labels})


def same(a: Trained, b: Trained, tolerance: float) -> None:
    assert a.kind is b.kind
    assert (a.groups, a.counts) == (b.groups, b.counts)
    assert a.rates == b.rates
    assert (a.config is None) == (b.config is None)
    if a.config is not None:
        assert type(a.config) is type(b.config)
        for one in fields(a.config):
            if one.name != "base_model_name_or_path":  # the lab's is built, the script's comes from a folder
                assert getattr(a.config, one.name) == getattr(b.config, one.name), one.name
    assert a.weights.keys() == b.weights.keys()
    for name, weight in a.weights.items():
        assert (weight - b.weights[name]).abs().mean() <= tolerance, name


def small(method: str) -> dict[str, int]:
    return {name: size for name, size in SMALL.items() if name in METHODS[method].options.model_fields}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Makes a task of a tiny model, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gc, "collect", lambda: 0)  # most of the time that the Trainer takes here

    def register(tiny: Tiny) -> Tiny:
        monkeypatch.setattr(StandIn, "tiny", tiny, raising=False)
        monkeypatch.setitem(TASKS, "stand-in", StandIn)
        return tiny

    return register


def configured(arm: Any, **training: Any) -> RunConfig:
    arm = parse_arm(arm) if isinstance(arm, str) else arm
    return make_run("stand-in", arm, 3, {}, {**GIVEN, **training})


@pytest.mark.parametrize("method", METHODS)
def test_the_loop_trains_what_the_lab_trains_bit_by_bit(method: str, stand_in: Any, capsys: Any) -> None:
    bert = stand_in(MODELS["bert"])
    config = configured(make_arm(method, small(method)))
    text = snippet(config)
    lab, script = in_the_lab(config), by_script(text, bert, capsys)
    same(lab, script, tolerance=0.0)
    assert script.losses == lab.losses and len(lab.losses) == 5
    assert ("neatlab" in imported(text)) == (method == "neat")
    assert sum(bool(line) for line in text.splitlines()) <= 55


@pytest.mark.parametrize("method", METHODS)
def test_the_trainer_does_the_same_steps(method: str, stand_in: Any, capsys: Any) -> None:
    bert = stand_in(alike(MODELS["bert"]))
    config = configured(make_arm(method, small(method)))
    same(in_the_lab(config), by_script(snippet(config, "trainer"), bert, capsys), tolerance=1e-6)


@pytest.mark.parametrize(("form", "tolerance"), [("peft", 0.0), ("trainer", 3e-4)])
@pytest.mark.parametrize("model", HARD_ARMS)
def test_every_setting_of_the_training_is_taken_along(
    model: str, form: str, tolerance: float, stand_in: Any, capsys: Any
) -> None:
    tiny = HARD_MODELS[model]
    tiny = stand_in(dropping(partly_counted(tiny)) if form == "peft" else alike(tiny))
    config = configured(HARD_ARMS[model], **HARD)
    lab, script = in_the_lab(config), by_script(snippet(config, form), tiny, capsys)
    same(lab, script, tolerance)
    assert script.losses == lab.losses if form == "peft" else "bf16=True" in snippet(config, form)


@pytest.mark.parametrize("warmup", [0.0, 0.06, 1.0])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_learning_rate_goes_the_labs_way(schedule: str, warmup: float, stand_in: Any) -> None:
    stand_in(MODELS["bert"])
    config = configured("lora:rank=2", steps=50, warmup=warmup, schedule=schedule)
    names: dict[str, Any] = {}
    for node in ast.parse(snippet(config)).body:
        is_needed = isinstance(node, ast.FunctionDef) and node.name == "share"
        if is_needed or (isinstance(node, ast.Assign) and "STEPS" in ast.unparse(node)) or "math" in ast.unparse(node):
            exec(ast.unparse(node), names)
    assert [names["share"](done) for done in range(51)] == [rate_factor(done, config.training) for done in range(51)]


def test_a_run_of_the_lab_is_repeated_on_its_own_model_and_data(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    arm = parse_arm("neat:rank=2,depth=4,lr=0.0123")
    config, store = make_run("digits", arm, 5, {}, {"steps": 3, "batch_size": 300}), Store(runs)
    list(execute(config, store))
    run, data = store.get(config.run_id), make_task(config).split("train")
    batch = {"pixel_values": data["pixels"], "labels": data["label"]}
    script = by_script(snippet(run), Tiny(make_task(config).base_model, batch, [], []), capsys)
    steps = [event for event in run.events if event["type"] == "Step"]
    assert script.losses == [step["loss"] for step in steps]
    assert [rates[0] for rates in script.rates] == [step["lr"] for step in steps]
    saved = load_file(run.path / "adapter" / "adapter_model.safetensors")
    again = load_file("my-adapter/adapter_model.safetensors")
    assert saved.keys() == again.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in saved.items())


HOSTILE = 'it\'s """ } #\nraise SystemExit(3) #{{ 7 * 7 }}'


@forms
def test_what_a_run_says_comes_in_as_a_literal(form: str, stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bert = stand_in(MODELS["bert"])
    stand_in(replace(bert, targets=["query", HOSTILE], head=["classifier", f"b{HOSTILE}"]))
    monkeypatch.setattr("neatlab.tasks.spec.TaskSpec.label", HOSTILE)
    tree = ast.parse(snippet(configured("lora:rank=2"), form))
    named = {ast.unparse(n.targets[0]): n.value for n in tree.body if isinstance(n, ast.Assign)}
    assert ast.literal_eval(named["TARGETS"]) == ["query", HOSTILE]
    assert ast.literal_eval(named["HEAD"]) == ["classifier", f"b{HOSTILE}"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]


def test_a_run_is_taken_along_without_its_data_or_its_end(tmp_path: Path, runs: Path, capsys: Any) -> None:
    """Its model's folder has a name that would be code."""
    model = tmp_path / "m'\nraise SystemExit(3) #"
    shutil.copytree(bert_folder(), model)
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "".join(f"a good day {i},{i % 2}\n" for i in range(20)))
    config = make_run("custom", parse_arm("neat:rank=2"), 0, {"model": str(model), "data": str(data)}, {"steps": 1})
    words = ["snippet", config.run_id, "--runs", str(runs)]
    events = execute(config, Store(runs))
    next(events)
    events.close()
    assert main(words) == 0
    begun = capsys.readouterr().out
    list(execute(config, Store(runs)))
    data.unlink()
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["script"] == begun
    assert (said["run"], said["arm"], said["form"]) == (config.run_id, "neat:rank=2,depth=2", "peft")
    assert "AutoModelForSequenceClassification" in begun and repr(config.spec.label) in begun
    assert not [node for node in ast.walk(ast.parse(begun)) if isinstance(node, ast.Raise)]


def test_an_arm_that_nobody_has_trained(tmp_path: Path, capsys: Any) -> None:
    words = ["snippet", "--arm", "lora:rank=3", "--lr", "0.5", "--steps", "40", "--train", "batch_size=8"]
    assert main([*words, "--form", "trainer", "--out", str(tmp_path / "train.py")]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'train.py'}\n"
    script = (tmp_path / "train.py").read_text()
    config = make_run("digits", parse_arm("lora:rank=3"), 0, {}, {"lr": 0.5, "steps": 40, "batch_size": 8})
    assert script == snippet(config, "trainer")
    assert main([*words, "--form", "trainer"]) == 0
    assert capsys.readouterr().out == script


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs a run"),
        (["0123456789ab"], "no run 0123456789ab"),
        (["../x"], "12 hexadecimal digits"),
        (["0123456789ab", "--arm", "lora"], "--arm beside a run"),
        (["0123456789ab", "--steps", "3"], "--steps beside a run"),
        (["--task", "digits"], "needs a run"),
        (["--arm", "lora", "--form", "keras"], "invalid choice: 'keras'"),
        (["--arm", "lorra"], "did you mean 'lora'"),
        (["--arm", "lora:rank=65"], "allowed: 1 to 64"),
        (["--arm", "lora", "--task", "dgits"], "did you mean 'digits'"),
        (["--arm", "lora", "--lr", "auto"], "only training can tell"),
        (["--arm", "lora", "--train", "lr=3"], "write --lr 3"),
        (["--arm", "head", "--task", "teacher"], "'head' has nothing to train"),
        (["--arm", "lora", "--task", "teacher", "--train", "gradient_checkpointing=true"], "cannot do that"),
        (["--arm", "lora", "--out", "/dev/null"], "File exists"),
    ],
)
def test_bad_input_is_one_line(words: list[str], said: str, runs: Path, capsys: Any) -> None:
    make_task(make_run("digits", parse_arm("lora"), 0, {}, {})).base_model()  # said on standard error the first time
    capsys.readouterr()
    assert main(["snippet", *words, "--runs", str(runs)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and len(captured.err.splitlines()) == 1
    assert captured.out == ""


def test_a_form_or_a_method_that_does_not_exist(stand_in: Any) -> None:
    stand_in(MODELS["bert"])
    config = configured("lora:rank=2")
    with pytest.raises(BadInput, match="unknown form 'tainer'; allowed: peft, trainer; did you mean 'trainer'"):
        snippet(config, "tainer")
    for arm, said in (({"method": "lorax"}, "unknown arm 'lorax'"), ({"options": {"rank": "4)"}}, r"rank='4\)'")):
        with pytest.raises(BadInput, match=said):
            snippet(config.model_copy(update={"arm": config.arm.model_copy(update=arm)}))


def test_a_model_that_is_not_of_transformers(capsys: Any) -> None:
    config = make_run("teacher", parse_arm("full"), 0, {}, {})
    for form in SCRIPTS:
        text = snippet(config, form)
        assert 'torch.load("my-model.pt", weights_only=False)' in text
        compile(text, "script.py", "exec")

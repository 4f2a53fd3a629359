"""TRL's trainers: NEAT learns in them, its base is what DPO takes for the reference, and what they save is loaded."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoTokenizer, LlamaForCausalLM
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from neatlab import NeatlabCallback, load_runs
from neatlab.adapters.attach import quiet_peft, tuner_layers
from neatlab.adapters.neat import NeatConfig
from tests.folders import llama_folder

PROMPTS = ["sun", "sea", "sky", "sand"]
CHOSEN = [f" {word[::-1]}" for word in PROMPTS]
REJECTED = [f" {word}" for word in PROMPTS]
ARGUMENTS: dict[str, Any] = {
    "max_steps": 8,
    "per_device_train_batch_size": 4,
    "learning_rate": 0.05,
    "logging_steps": 1,
    "gradient_checkpointing": True,
    "bf16": False,
    "report_to": [],
    "use_cpu": True,
    "disable_tqdm": True,
    "save_strategy": "no",
}


def base() -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(llama_folder())


def config(**settings: Any) -> NeatConfig:
    return NeatConfig(r=4, depth=4, activation="gelu", target_modules="all-linear", task_type="CAUSAL_LM", **settings)


def sft(folder: Path) -> SFTTrainer:
    data = Dataset.from_dict({"prompt": PROMPTS, "completion": CHOSEN})
    tokenizer = AutoTokenizer.from_pretrained(llama_folder())
    with quiet_peft():
        return SFTTrainer(
            base(),
            SFTConfig(folder, **ARGUMENTS),
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=config(),
            callbacks=[NeatlabCallback(folder / "runs", every=4)],
        )


def dpo(folder: Path, model: Any, peft_config: NeatConfig | None = None) -> DPOTrainer:
    data = Dataset.from_dict({"prompt": PROMPTS, "chosen": CHOSEN, "rejected": REJECTED})
    tokenizer = AutoTokenizer.from_pretrained(llama_folder())
    with quiet_peft():
        return DPOTrainer(
            model,
            args=DPOConfig(folder, **ARGUMENTS),
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=peft_config,
        )


TRAINERS = {"sft": sft, "dpo": lambda folder: dpo(folder, base(), config())}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    trainers = {name: make(tmp_path_factory.mktemp(name)) for name, make in TRAINERS.items()}
    for trainer in trainers.values():
        trainer.train()
    return trainers


@pytest.fixture(params=TRAINERS)
def trained(request: pytest.FixtureRequest, both: dict[str, Any]) -> Any:
    return both[request.param]


def losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        return model.eval()(torch.arange(10, 40)[None]).logits


def test_it_learns_with_gradient_checkpointing(trained: Any) -> None:
    assert trained.args.gradient_checkpointing
    assert losses(trained)[-1] < 0.95 * losses(trained)[0]
    lasts = [layer.thetas("default")[-1] for _, layer in tuner_layers(trained.model)]
    assert lasts and all(last.any() for last in lasts)  # each was 0


def test_the_base_is_left_alone(trained: Any) -> None:
    with torch.no_grad(), trained.model.disable_adapter():
        assert torch.equal(logits(trained.model), logits(base()))
    left = {name: tensor for name, tensor in trained.model.named_parameters() if "neat_" not in name}
    names = {name.removeprefix("base_model.model.").replace(".base_layer", ""): name for name in left}
    weights = dict(base().named_parameters())
    assert names.keys() == weights.keys()
    assert all(torch.equal(left[names[name]], weight) for name, weight in weights.items())


def test_what_it_saves_is_loaded(trained: Any, tmp_path: Path) -> None:
    trained.save_model(tmp_path)
    with quiet_peft():
        loaded = PeftModel.from_pretrained(base(), tmp_path)
    assert torch.equal(logits(loaded), logits(trained.model))
    assert not torch.allclose(logits(loaded), logits(base()), atol=1e-2)


def reference(trainer: DPOTrainer) -> tuple[dict[str, Tensor], list[Tensor]]:
    """A batch, and the log-probabilities that the reference gives its answers, chosen and rejected."""
    batch = next(iter(trainer.get_train_dataloader()))
    return batch, list(trainer.compute_ref_log_probs(trainer.model, batch))


def log_probabilities(model: Any, batch: dict[str, Tensor]) -> list[Tensor]:
    """Those of the answers, computed plainly."""
    with torch.no_grad():
        scores = model.eval()(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    tokens = scores.log_softmax(-1).gather(2, batch["input_ids"][:, 1:, None])[..., 0]
    return list((tokens * batch["completion_mask"][:, 1:]).sum(1).chunk(2))


def test_dpos_reference_is_the_base(both: dict[str, Any]) -> None:
    trainer = both["dpo"]
    batch, answers = reference(trainer)
    for part, wanted, policy in zip(
        answers, log_probabilities(base(), batch), log_probabilities(trainer.model, batch), strict=True
    ):
        assert torch.allclose(part, wanted, atol=1e-5)
        assert not torch.allclose(policy, wanted, atol=1e-2)


def test_dpos_reference_of_an_adapter_is_that_adapter(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with quiet_peft():
        model, before = (get_peft_model(base(), config(init_weights=False)) for _ in range(2))
    before.load_state_dict(model.state_dict())
    trainer = dpo(tmp_path, model)
    trainer.train()
    batch, answers = reference(trainer)
    for part, wanted in zip(answers, log_probabilities(before, batch), strict=True):
        assert torch.allclose(part, wanted, atol=1e-5)
    assert losses(trainer)[-1] < losses(trainer)[0]


def test_the_callback_writes_its_curves_and_spectra_down(both: dict[str, Any]) -> None:
    trainer = both["sft"]
    runs = load_runs(Path(trainer.args.output_dir) / "runs")
    (run,) = runs.runs
    curves, spectra = runs.curves(), runs.spectra()
    assert (run.status, run.config.arm.method, run.config.training.steps) == ("finished", "neat", 8)
    assert curves["loss"].tolist() == losses(trainer)
    assert sorted(set(spectra["step"])) == [0, 4, 8]
    last = spectra[spectra["step"] == 8].set_index("layer")
    for name, layer in tuner_layers(trainer.model):
        norm = float(layer.get_delta_weight("default").detach().double().norm())
        assert last.loc[name, "norm"] == pytest.approx(norm, rel=1e-4)

"""`neatlab export DIR --base MODEL`: what others trained with NEAT, as plain PEFT and transformers load it."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeanutConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from neatlab.adapters.attach import quiet_peft
from neatlab.adapters.neat import NeatConfig
from neatlab.cli import main
from tests.models import MODELS

BERT, LLAMA = MODELS["bert"], MODELS["llama"]
IDS = {"input_ids": torch.arange(1, 9).view(2, 4)}


def logits(model):
    with torch.no_grad():
        return model.eval()(**IDS).logits


@pytest.fixture
def base(tmp_path):
    LLAMA.build().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def saved(base, folder, config):
    """An adapter on that base, and its logits."""
    with quiet_peft():
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter.normal_(0, 0.2)
    model.save_pretrained(folder)
    return logits(model)


CONFIGS = {
    "neat": NeatConfig(r=3, depth=4, activation="gelu", target_modules="all-linear", task_type="CAUSAL_LM"),
    "ranks": NeatConfig(r=3, target_modules=["q_proj", "v_proj"], rank_pattern={"v_proj": 2}),
    "peanut": PeanutConfig(r=3, depth=1, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_an_adapter_folder_becomes_a_lora_and_merged_weights(config, base, tmp_path, capsys):
    wanted = saved(base, tmp_path / "adapter", config)
    words = ["export", str(tmp_path / "adapter"), "--base", str(base)]
    assert main([*words, "--format", "lora", "--out", str(tmp_path / "lora"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["relative_error"] == {}
    with quiet_peft():
        lora = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "lora")
    assert lora.peft_config["default"].peft_type == "LORA"
    assert torch.allclose(logits(lora), wanted, atol=1e-5)
    assert main([*words, "--format", "merged", "--out", str(tmp_path / "merged")]) == 0
    assert torch.allclose(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged")), wanted, atol=1e-5)


def test_a_head_with_other_labels_than_the_bases_comes_along(tmp_path):
    """A classifier trained on a checkpoint that was none."""
    BERT.build().bert.save_pretrained(tmp_path / "base")
    with quiet_peft():
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=5)
        config = NeatConfig(r=3, init_weights=False, target_modules=["query"], task_type="SEQ_CLS")
        model = get_peft_model(model, config)
        model.save_pretrained(tmp_path / "adapter")
    words = ["export", str(tmp_path / "adapter"), "--base", str(tmp_path / "base"), "--format", "lora"]
    assert main([*words, "--out", str(tmp_path / "lora")]) == 0
    with quiet_peft():
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=5)
        again = PeftModel.from_pretrained(plain, tmp_path / "lora")
    assert logits(model).shape == (2, 5)
    assert torch.allclose(logits(again), logits(model), atol=1e-5)


def test_what_cannot_be_exported_is_one_line_and_nothing_is_written(base, tmp_path, capsys):
    saved(base, tmp_path / "neat", NeatConfig(r=3, conditioning="none", target_modules=["q_proj"]))
    shutil.copytree(tmp_path / "neat", tmp_path / "wider")
    settings = json.loads((tmp_path / "wider" / "adapter_config.json").read_text())
    wider = {**settings, "target_modules": ["q_proj", "v_proj"]}
    (tmp_path / "wider" / "adapter_config.json").write_text(json.dumps(wider))
    saved(base, tmp_path / "lora", LoraConfig(r=3, target_modules=["q_proj"]))
    BERT.build().save_pretrained(tmp_path / "bert")
    (tmp_path / "empty").mkdir()
    shutil.copytree(base, tmp_path / "misnamed")
    config = json.loads((tmp_path / "misnamed" / "config.json").read_text())
    (tmp_path / "misnamed" / "config.json").write_text(json.dumps({**config, "architectures": ["Trainer", 3]}))
    cases = [
        (["neat"], "--base names the model"),
        (["neat", "--base", "empty"], "has no config.json"),
        (["neat", "--base", "bert"], "does not fit"),
        (["neat", "--base", "misnamed"], "does not fit"),  # no model's name there, so a plain model without its head
        (["neat", "--base", "base", "--format", "peanut"], "conditioning='none'"),
        (["wider", "--base", "base"], "it has no tensors for layer model.layers.0.self_attn.v_proj"),
        (["lora", "--base", "base"], "holds a LORA adapter; allowed: NEAT, PEANUT"),
        (["empty"], "12 hexadecimal digits"),
        (["a" * 12, "--base", "base"], "--base goes with an adapter folder"),
    ]
    capsys.readouterr()  # what came before
    for (name, *words), said in cases:
        words = [str(tmp_path / word) if (tmp_path / word).is_dir() else word for word in (name, *words)]
        runs = ["--runs", str(tmp_path / "runs")]
        assert main(["export", "--format", "lora", "--out", str(tmp_path / "out"), *words, *runs]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and said in lines[0], lines
        assert not (tmp_path / "out").exists()

"""Language models that transformers has quantised: NEAT on them trained, saved, loaded, merged, and given as a LoRA."""

import pytest
import torch
from peft import PeftModel, get_peft_model
from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM, TorchAoConfig

from neatlab.adapters.attach import quiet_peft
from neatlab.adapters.convert import neat_to_lora
from neatlab.adapters.neat import NeatConfig

# transformers does not load models into HQQ: its layers are tested one by one.
CONFIGS = {
    "bnb8": lambda: BitsAndBytesConfig(load_in_8bit=True),
    "bnb4": lambda: BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "torchao-int8": lambda: TorchAoConfig(Int8WeightOnlyConfig()),
    "torchao-int4": lambda: TorchAoConfig(IntxWeightOnlyConfig(weight_dtype=torch.int4)),
}
LLAMA = LlamaConfig(
    vocab_size=32, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0
)
BATCH = {"input_ids": torch.arange(16).view(2, 8), "labels": torch.arange(16).view(2, 8)}


@pytest.fixture(params=CONFIGS)
def load(request, tmp_path):
    """Makes the quantised model, the same in every call."""
    torch.manual_seed(0)
    LlamaForCausalLM(LLAMA).save_pretrained(tmp_path / "base")
    return lambda: AutoModelForCausalLM.from_pretrained(
        tmp_path / "base", quantization_config=CONFIGS[request.param](), device_map="cpu", dtype=torch.float32
    )


def trained(base):
    """A NEAT adapter on every linear layer after some steps."""
    torch.manual_seed(1)
    with quiet_peft():
        model = get_peft_model(base, NeatConfig(r=4, depth=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(6):
        loss = model(**BATCH).loss
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0]
    return model


def logits(model):
    with torch.no_grad():
        return model.eval()(**BATCH).logits


def test_it_trains_is_saved_and_is_loaded(load, tmp_path):
    model = trained(load())
    model.save_pretrained(tmp_path / "adapter")
    with quiet_peft():
        again = PeftModel.from_pretrained(load(), tmp_path / "adapter")
    assert torch.equal(logits(again), logits(model))


def test_plain_peft_loads_it_as_a_lora_on_the_same_quantised_base(load, tmp_path):
    model = trained(load())
    neat_to_lora(model, tmp_path / "lora")
    with quiet_peft():
        lora = PeftModel.from_pretrained(load(), tmp_path / "lora")
    assert lora.peft_config["default"].peft_type == "LORA"
    with torch.no_grad():  # not eval(): bitsandbytes would round the scales of the LoRA's 4 bits for some CPUs
        assert torch.allclose(lora.train()(**BATCH).logits, model.train()(**BATCH).logits, atol=1e-5)


def test_a_merged_model_differs_by_the_rounding_of_its_few_bits(load):
    model = trained(load())
    with_adapter = logits(model)
    with model.disable_adapter():
        without = logits(model)
    merged = logits(model.merge_and_unload())
    assert float((merged - with_adapter).norm()) < 0.5 * float((with_adapter - without).norm())


def test_it_writes_what_it_writes_without_a_cache(load):
    model = trained(load()).eval()
    options = {"max_new_tokens": 4, "do_sample": False}
    tokens = BATCH["input_ids"][:, :3]
    assert torch.equal(
        model.generate(input_ids=tokens, **options), model.generate(input_ids=tokens, use_cache=False, **options)
    )

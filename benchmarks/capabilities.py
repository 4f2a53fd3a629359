"""What LoRA, PEANuT and NEAT can do in PEFT: each row is tried by running it, and counts where its numbers are right.

    python benchmarks/capabilities.py

Rows of quantised bases need their packages:

    make build/.integrations
    PYTHONPATH=$(echo build/integrations/lib/python*/site-packages) python benchmarks/capabilities.py
"""

import copy
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from peft import LoHaConfig, LoraConfig, PeanutConfig, PeftModel, convert_to_lora, get_peft_model
from peft.utils.hotswap import hotswap_adapter
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.neat import NeatConfig

D_IN, D_OUT, TOKENS = 128, 64, 32
METHODS: dict[str, Callable[..., Any]] = {
    "LoRA": lambda r=4, **options: LoraConfig(r=r, lora_alpha=r, init_lora_weights=False, **options),
    "PEANuT": lambda r=4, **options: PeanutConfig(r=r, depth=0, init_weights=False, **options),
    "NEAT": lambda r=4, **options: NeatConfig(r=r, init_weights=False, **options),
}


def adapted(method: str, layer: nn.Module, **options: Any) -> Any:
    """A model of that layer with an adapter that changes its output."""
    return get_peft_model(nn.Sequential(layer), METHODS[method](target_modules=["0"], **options))


def is_close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two outputs are the same but for rounding."""
    return torch.allclose(a, b, atol=tolerance)


def is_right(method: str, make: Callable[[], nn.Module], x: Tensor) -> bool:
    """Whether the adapter changes the layer's output, trains, and gives the same output once it is merged."""
    layer = make()
    base, model = layer(x).detach(), adapted(method, layer)
    result = model(x)
    result.sum().backward()
    has_trained = all(p.grad is not None for p in model.parameters() if p.requires_grad)
    model.merge_adapter()
    return has_trained and not is_close(result, base, 1e-2) and is_close(model(x), result)


def layers() -> dict[str, Callable[[str], bool]]:
    """The kinds of layer."""
    tokens = torch.randint(TOKENS, (3, 5))
    return {
        "`nn.Linear`": lambda m: is_right(m, lambda: nn.Linear(D_IN, D_OUT), torch.randn(3, D_IN)),
        "`Conv1D`": lambda m: is_right(m, lambda: Conv1D(D_OUT, 24), torch.randn(3, 24)),
        "`nn.Embedding`": lambda m: is_right(m, lambda: nn.Embedding(TOKENS, 16), tokens),
        "`nn.Conv1d`": lambda m: is_right(m, lambda: nn.Conv1d(4, 8, 3), torch.randn(2, 4, 9)),
        "`nn.Conv2d`": lambda m: is_right(m, lambda: nn.Conv2d(4, 8, 3), torch.randn(2, 4, 9, 9)),
        "dilated convolution": lambda m: is_right(m, lambda: nn.Conv1d(4, 8, 3, dilation=2), torch.randn(2, 4, 9)),
    }


def quantised() -> dict[str, Callable[[str], bool]]:
    """The kinds of quantised linear layer, as far as their packages are there."""
    import bitsandbytes as bnb
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
    from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig, quantize_

    def with_weights(layer: nn.Module) -> nn.Module:
        layer.load_state_dict(nn.Linear(D_IN, D_OUT).state_dict())
        return layer.to("cpu")

    def by_torchao(config: Any) -> nn.Module:
        net = nn.Sequential(nn.Linear(D_IN, D_OUT))
        quantize_(net, config)
        return net[0]

    hqq = BaseQuantizeConfig(nbits=4, group_size=64)
    kinds: dict[str, Callable[[], nn.Module]] = {
        "bitsandbytes, 8 bit": lambda: with_weights(bnb.nn.Linear8bitLt(D_IN, D_OUT, has_fp16_weights=False)),
        "bitsandbytes, 4 bit": lambda: with_weights(bnb.nn.Linear4bit(D_IN, D_OUT, compute_dtype=torch.float32)),
        "torchao, int8": lambda: by_torchao(Int8WeightOnlyConfig()),
        "torchao, int4": lambda: by_torchao(IntxWeightOnlyConfig(weight_dtype=torch.int4)),
        "HQQ": lambda: HQQLinear(nn.Linear(D_IN, D_OUT), hqq, compute_dtype=torch.float32, device="cpu"),
    }
    return {name: lambda m, make=make: is_right_quantised(m, make) for name, make in kinds.items()}


def is_right_quantised(method: str, make: Callable[[], nn.Module]) -> bool:
    """Whether the adapter trains there and gives what the same adapter gives on a plain layer with that weight."""
    x, model = torch.randn(3, D_IN), adapted(method, make())
    result, tuner = model(x), model.base_model.model[0]
    result.sum().backward()
    base = tuner.base_layer
    with torch.no_grad():
        plain = nn.Linear(D_IN, D_OUT, bias=False)
        plain.weight.copy_((base(torch.eye(D_IN)) - base(torch.zeros(1, D_IN))).T)
        twin = adapted(method, plain)
        twin.load_state_dict({k: v for k, v in model.state_dict().items() if "base_layer" not in k}, strict=False)
        update = twin(x) - twin.base_model.model[0].base_layer(x)
        return is_close(result - base(x), update, 1e-2) and float(update.abs().max()) > 0.05


def tasks() -> dict[str, Callable[[str], bool]]:
    """What one does with adapters."""
    return {
        "merging and unmerging": merges,
        "several adapters": has_several,
        "an adapter for each row of a batch": mixes_rows,
        "beside other methods in one layer (`PeftMixedModel`)": is_mixed,
        "weighted sums of adapters": sums,
        "conversion to LoRA by PEFT": converts,
        "hotswapping": swaps,
        "`modules_to_save`": saves_modules,
        "`trainable_token_indices`": trains_tokens,
        "`rank_pattern`": has_ranks,
        "magnitudes (`use_dora`)": has_magnitudes,
        "biases that train (`bias`)": trains_biases,
        "merging into tied embeddings (`ensure_weight_tying`)": stays_tied,
    }


def merges(method: str) -> bool:
    """merge_adapter gives the same output, unmerge_adapter the base layer bit by bit or but for rounding."""
    x, model = torch.randn(3, D_IN), adapted(method, nn.Linear(D_IN, D_OUT))
    tuner = model.base_model.model[0]
    before, weight = model(x), tuner.base_layer.weight.clone()
    model.merge_adapter()
    merged = model(x)
    model.unmerge_adapter()
    return is_close(merged, before) and is_close(tuner.base_layer.weight, weight)


def outputs_of_two(method: str) -> tuple[Any, Tensor, Tensor, Tensor]:
    """A model with two adapters, an input, and its output with either."""
    x, model = torch.randn(2, D_IN), adapted(method, nn.Linear(D_IN, D_OUT))
    model.add_adapter("other", METHODS[method](r=2, target_modules=["0"]))
    first = model.eval()(x)
    model.set_adapter("other")
    return model, x, first, model(x)


def has_several(method: str) -> bool:
    """A second adapter acts when it is active."""
    _, _, first, second = outputs_of_two(method)
    return not is_close(first, second, 1e-2)


def mixes_rows(method: str) -> bool:
    """Each row of a batch goes through the adapter that is named for it."""
    model, x, first, second = outputs_of_two(method)
    rows = model(x, adapter_names=["default", "other"])
    return is_close(rows, torch.stack([first[0], second[1]]))


def is_mixed(method: str) -> bool:
    """A LoHa and this method in one layer."""
    model = get_peft_model(nn.Sequential(nn.Linear(D_IN, D_OUT)), METHODS[method](target_modules=["0"]), mixed=True)
    model.add_adapter("other", LoHaConfig(r=2, target_modules=["0"], init_weights=False))
    model.set_adapter(["default", "other"])
    x = torch.randn(2, D_IN)
    both = model(x)
    model.set_adapter("default")
    return not is_close(both, model(x), 1e-2)


def sums(method: str) -> bool:
    """ΔW of the sum is the sum of the ΔW."""
    model = adapted(method, nn.Linear(D_IN, D_OUT))
    model.add_adapter("other", METHODS[method](target_modules=["0"]))
    model.add_weighted_adapter(["default", "other"], [0.5, 2.0], "sum", combination_type="cat")
    first, second, both = map(model.base_model.model[0].get_delta_weight, ("default", "other", "sum"))
    return is_close(both, 0.5 * first + 2 * second)


def converts(method: str) -> bool:
    """PEFT's convert_to_lora gives a LoRA with the same ΔW."""
    if method == "LoRA":
        return True
    model = adapted(method, nn.Linear(D_IN, D_OUT))
    delta = model.base_model.model[0].get_delta_weight("default")
    config, state = convert_to_lora(model, rank=4)
    A = next(value for key, value in state.items() if "lora_A" in key)
    B = next(value for key, value in state.items() if "lora_B" in key)
    return is_close(B @ A * config.lora_alpha / config.r, delta)


def swaps(method: str) -> bool:
    """hotswap_adapter puts a saved adapter's weights into a live one."""
    layer, x = nn.Linear(D_IN, D_OUT), torch.randn(2, D_IN)
    source, target = adapted(method, copy.deepcopy(layer)).eval(), adapted(method, layer).eval()
    with tempfile.TemporaryDirectory() as folder:
        source.save_pretrained(folder)
        hotswap_adapter(target, folder, "default")
    return is_close(target(x), source(x))


def saves_modules(method: str) -> bool:
    """A module trains whole beside it."""
    net = nn.Sequential(nn.Linear(D_IN, D_OUT), nn.Linear(D_OUT, 2))
    model = get_peft_model(net, METHODS[method](target_modules=["0"], modules_to_save=["1"]))
    model(torch.randn(2, D_IN)).sum().backward()
    return model.base_model.model[1].modules_to_save["default"].weight.grad is not None


def language_model(**options: Any) -> LlamaForCausalLM:
    """A Llama of one layer."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=TOKENS, **sizes, **options))


def trains_tokens(method: str) -> bool:
    """The rows of two tokens train beside it, and no others."""
    options = {"target_modules": ["q_proj"], "trainable_token_indices": [3, 5], "task_type": "CAUSAL_LM"}
    model = get_peft_model(language_model(), METHODS[method](**options))
    every = torch.arange(8)[None]
    before = model.get_input_embeddings()(every[0]).detach().clone()
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model(input_ids=every, labels=every).loss.backward()
    optimiser.step()
    changed = (model.get_input_embeddings()(every[0]) != before).any(dim=1)
    return changed.nonzero().flatten().tolist() == [3, 5]


def has_ranks(method: str) -> bool:
    """A layer has a rank of its own."""
    model = adapted(method, nn.Linear(D_IN, D_OUT), rank_pattern={"0": 2})
    return int(torch.linalg.matrix_rank(model.base_model.model[0].get_delta_weight("default"))) == 2


def has_magnitudes(method: str) -> bool:
    """Twice the magnitudes are twice the layer's output."""
    model, x = adapted(method, nn.Linear(D_IN, D_OUT, bias=False), use_dora=True), torch.randn(3, D_IN)
    result = model(x).detach()
    with torch.no_grad():
        for _, magnitude in filter(lambda named: "magnitude" in named[0], model.named_parameters()):
            magnitude.mul_(2)
    return is_close(model(x), 2 * result)


def trains_biases(method: str) -> bool:
    """All biases train, and come back from the adapter's folder."""
    net = nn.Sequential(nn.Linear(D_IN, D_OUT), nn.Linear(D_OUT, 2))
    model, x = (
        get_peft_model(copy.deepcopy(net), METHODS[method](target_modules=["0"], bias="all")),
        torch.randn(3, D_IN),
    )
    biases = [p for name, p in model.named_parameters() if name.endswith(".bias") and p.requires_grad]
    with torch.no_grad():
        for bias in biases:
            bias.add_(1)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return len(biases) == 2 and is_close(PeftModel.from_pretrained(net, folder)(x), model(x))


def stays_tied(method: str) -> bool:
    """Input and output embedding of a language model share an adapter, and one weight once it is merged."""
    targets = {"target_modules": ["embed_tokens", "lm_head"], "ensure_weight_tying": True}
    model = get_peft_model(language_model(tie_word_embeddings=True), METHODS[method](**targets)).eval()
    tokens, merged = torch.arange(8)[None], copy.deepcopy(model).merge_and_unload()
    is_tied = merged.lm_head.weight is merged.model.embed_tokens.weight
    return is_tied and is_close(merged(tokens).logits, model(tokens).logits)


def works(probe: Callable[[str], bool], method: str) -> bool:
    """Whether it can be done at all, and rightly."""
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(probe(method))
    except Exception:  # whatever stands in the way: the method does not have it
        return False


def rows() -> dict[str, dict[str, bool]]:
    """Row → method → whether it works; without the packages of quantised bases, without their rows."""
    try:
        bases = quantised()
    except ImportError:
        print("Quantised bases are left out: their packages are not there.", file=sys.stderr)
        bases = {}
    probes = {**layers(), **bases, **tasks()}
    return {name: {method: works(probe, method) for method in METHODS} for name, probe in probes.items()}


def table(marks: dict[str, dict[str, bool]]) -> str:
    """The rows in Markdown."""
    lines = [f"| | {' | '.join(METHODS)} |", "|---" * (1 + len(METHODS)) + "|"]
    lines += [f"| {name} | {' | '.join('✓' if ok else '✗' for ok in row.values())} |" for name, row in marks.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(rows()))

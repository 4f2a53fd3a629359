"""Carry a trained adapter elsewhere: NEAT → LoRA, NEAT ⇄ PEANuT, LoRA → NEAT, and merged weights.

Each function takes a live PEFT model, leaves it alone, and writes a folder that plain PEFT or transformers loads.
Modules that were trained whole, such as a classifier, come along.
"""

import copy
import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from peft import LoraConfig, PeanutConfig, PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.attach import tuner_layers, weight_of
from neatlab.adapters.factors import Factors
from neatlab.adapters.folders import PREFIX, whole_folder, write_adapter
from neatlab.adapters.methods.lora import lora_factors
from neatlab.adapters.neat import NeatConfig, NeatLayer
from neatlab.adapters.neat.hidden import make_activation
from neatlab.adapters.neat_from_factors import check_room, split_factors
from neatlab.errors import BadInput, unknown
from neatlab.runtime.files import PathLike


def neat_to_lora(model: PeftModel, folder: PathLike, adapter: str = "default") -> None:
    """Write a NEAT adapter as the LoRA that it is once trained: B A = ΔW with A = Hᵀ, B = s·Θ_Lᵀ; magnitudes as DoRA's.

    Args:
        model: A PEFT model with a NEAT adapter.
        folder: Where the LoRA adapter goes.
        adapter: The adapter's name.

    Raises:
        BadInput: Not a NEAT adapter, a folder that is not free, or a convolution that PEFT's LoRA does not follow.
    """
    layers = _layers(model, adapter, "NEAT", takes_all=True)
    with torch.no_grad():
        factors = {name: layer.factors(adapter) for name, layer in layers.items()}
    magnitudes = {name: layer.neat_magnitude[adapter] for name, layer in layers.items() if layer.is_dora(adapter)}
    factors_to_lora(model, factors, folder, adapter, magnitudes)


def factors_to_lora(
    model: PeftModel,
    factors: Mapping[str, Factors],
    folder: PathLike,
    adapter: str = "default",
    magnitudes: Mapping[str, Tensor] | None = None,
) -> None:
    """Write given factors of ΔW as a LoRA adapter with scaling 1, in float32 at least.

    Args:
        model: The PEFT model that they belong to.
        factors: Adapted layer → ΔW.
        folder: Where the LoRA adapter goes.
        adapter: Name of the adapter whose other modules, such as a classifier, come along.
        magnitudes: Adapted layer → norms of its rows, d_out, which make the LoRA a DoRA.

    Raises:
        BadInput: A folder that is not free, or a convolution that PEFT's LoRA does not follow.
    """
    rank = max(f.rank for f in factors.values())
    bases = {name: layer.get_base_layer() for name, layer in tuner_layers(model)}
    conv1d = any(isinstance(base, Conv1D) for base in bases.values())
    state: dict[str, Tensor] = {}
    for name, f in factors.items():
        _check_lora_can(name, bases[name])
        tensors = _lora_tensors(bases[name], f.to(torch.promote_types(f.left.dtype, torch.float32)))
        state |= {f"{PREFIX}{name}.{part}": tensor for part, tensor in tensors.items()}
    state |= {f"{PREFIX}{name}.lora_magnitude_vector": norms for name, norms in (magnitudes or {}).items()}
    others = {re.escape(name): f.rank for name, f in factors.items() if f.rank != rank}
    patterns: dict[str, Any] = {"rank_pattern": others, "alpha_pattern": others}
    config = LoraConfig(r=rank, lora_alpha=rank, fan_in_fan_out=conv1d, use_dora=bool(magnitudes), **patterns)
    write_adapter(model, adapter, config, state, list(factors), folder)


def _lora_tensors(base: Any, factors: Factors) -> dict[str, Tensor]:
    """B and A as PEFT's LoRA names and shapes them on this kind of layer."""
    A, B = factors.right, factors.left
    if isinstance(base, nn.Embedding):
        return {"lora_embedding_A": A, "lora_embedding_B": B}
    if isinstance(base, nn.Conv1d | nn.Conv2d):
        A, B = A.unflatten(1, base.weight.shape[1:]), B[(..., *[None] * (base.weight.dim() - 2))]
    return {"lora_A.weight": A, "lora_B.weight": B}


def neat_to_peanut(model: PeftModel, folder: PathLike, adapter: str = "default") -> None:
    """Write a NEAT adapter as PEFT's PEANuT, whose depth is (L − 2)/2.

    Args:
        model: A PEFT model with a NEAT adapter.
        folder: Where the PEANuT adapter goes.
        adapter: The adapter's name.

    Raises:
        BadInput: A setting that PEANuT does not have, by name, or a folder that is not free.
    """
    layers, config = _layers(model, adapter, "NEAT"), _neat_config(model, adapter)
    _check_peanut_can(config, layers)
    pairs = (config.depth - 2) // 2
    state: dict[str, Tensor] = {}
    for name, layer in layers.items():
        first, *inner, last = layer.thetas(adapter)
        weights = {"peanut_A": first, "peanut_B": last.T}
        weights |= {f"peanut_encoders.{i}": theta for i, theta in enumerate(inner[:pairs])}
        weights |= {f"peanut_decoders.{i}": theta for i, theta in enumerate(inner[pairs:])}
        state |= {f"{PREFIX}{name}.{part}.weight": weight for part, weight in weights.items()}
    peanut = PeanutConfig(r=config.r, depth=pairs, act_fn=config.activation, scaling=config.scaling)
    write_adapter(model, adapter, peanut, state, list(layers), folder)


def peanut_to_neat(model: PeftModel, folder: PathLike, adapter: str = "default") -> None:
    """Write an adapter of PEFT's PEANuT as NEAT with depth 2·depth + 2.

    Args:
        model: A PEFT model with a PEANuT adapter.
        folder: Where the NEAT adapter goes.
        adapter: The adapter's name.

    Raises:
        BadInput: Not a PEANuT adapter, an activation that it does not share with NEAT, or a folder that is not free.
    """
    layers: Any = _layers(model, adapter, "PEANUT")
    config: Any = model.peft_config[adapter]
    _check_activation(config.act_fn)
    thetas = {}
    for name, layer in layers.items():
        inner = [*layer.peanut_encoders[adapter], *layer.peanut_decoders[adapter]]
        maps = [layer.peanut_A[adapter], *inner, layer.peanut_B[adapter]]
        *before, last = [linear.weight for linear in maps]
        thetas[name] = [*before, last.T]
    neat = NeatConfig(r=config.r, depth=2 * config.depth + 2, activation=config.act_fn, scaling=config.scaling)
    _write_neat(model, adapter, neat, thetas, folder)


def lora_to_neat(
    model: PeftModel, folder: PathLike, adapter: str = "default", orientation: Literal["out", "in"] = "out"
) -> dict[str, float]:
    """Write a LoRA adapter as NEAT with twice the hidden units.

    With ΔWᵀ = P Q and M = W₀ᵀ, Θ₁ = M⁺[P, −P] and Θ₂ = [Q; −Q] give ReLU(MΘ₁)Θ₂ = P Q where M has full row rank
    (arXiv:2410.01870, Proposition 5.1). That needs d_in ≤ d_out; orientation "in", with M = W₀, needs d_out ≤ d_in.

    Args:
        model: A PEFT model with a LoRA adapter.
        folder: Where the NEAT adapter goes.
        adapter: The adapter's name.
        orientation: The side that the NEAT adapter maps over.

    Returns:
        Layer → ‖ΔW_NEAT − ΔW‖_F / ‖ΔW‖_F; rounding where the construction is exact.

    Raises:
        BadInput: A LoRA with more than its two factors, a layer smaller than 2r, or a folder that is not free.
    """
    layers = _layers(model, adapter, "LORA")
    _check_plain_lora(model.peft_config[adapter])
    if any(layer.merged for layer in layers.values()):
        raise BadInput("the adapter is merged, so W₀ is not at hand; call unmerge_adapter first")
    for name, layer in layers.items():
        if adapter in layer.lora_variant:
            raise BadInput(f"layer {name} holds a variant of LoRA whose ΔW is not B A alone; NEAT has no counterpart")
    with torch.no_grad():
        factors = {name: lora_factors(layer, adapter) for name, layer in layers.items()}
        rank = 2 * max(f.rank for f in factors.values())
        thetas, errors = {}, {}
        for name, layer in layers.items():
            weight = weight_of(layer.get_base_layer()).double()
            check_room(name, factors[name].shape, rank)
            thetas[name], neat = split_factors(factors[name], weight, rank, orientation)
            errors[name] = float(neat.minus(factors[name]).norm()) / (float(factors[name].norm()) or 1.0)
    _write_neat(model, adapter, NeatConfig(r=rank, orientation=orientation), thetas, folder)
    return errors


def merge_to_folder(model: nn.Module, folder: PathLike) -> None:
    """Write W₀ + ΔW as a plain model that transformers loads.

    The model is copied for it, so this needs its memory twice.

    Args:
        model: A transformers model, with an adapter or trained whole.
        folder: Where the model goes.

    Raises:
        BadInput: Not a transformers model, or a folder that is not free.
    """
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    if not isinstance(base, PreTrainedModel):
        raise BadInput(f"merged weights need a transformers model to write its configuration; not a {_kind(base)}")
    with whole_folder(folder) as temporary:
        merged: Any = copy.deepcopy(model)
        if isinstance(model, PeftModel):
            merged = merged.merge_and_unload(safe_merge=True)
        merged.save_pretrained(temporary)


def _layers(model: PeftModel, adapter: str, peft_type: str, takes_all: bool = False) -> dict[str, Any]:
    """Layers of the base model that hold the adapter, which must be of the given type."""
    if adapter not in model.peft_config:
        raise unknown("adapter", adapter, model.peft_config)
    actual = str(getattr(model.peft_config[adapter].peft_type, "value", model.peft_config[adapter].peft_type))
    if actual != peft_type:
        raise BadInput(f"adapter {adapter!r} is of type {actual}; this conversion takes {peft_type}")
    named = ((name, layer, layer.adapter_layer_names) for name, layer in tuner_layers(model))
    layers = {name: layer for name, layer, parts in named if any(adapter in getattr(layer, p, {}) for p in parts)}
    for name, layer in layers.items():
        if not takes_all and not isinstance(layer.get_base_layer(), nn.Linear | Conv1D):
            kind = _kind(layer.get_base_layer())
            raise BadInput(f"layer {name} is a {kind}; this conversion takes nn.Linear and Conv1D")
    return layers


def _neat_config(model: PeftModel, adapter: str) -> NeatConfig:
    config: Any = model.peft_config[adapter]
    return config


def _check_lora_can(name: str, base: Any) -> None:
    """PEFT's LoRA gives its A the base's window, stride and padding alone (0.21)."""
    if isinstance(base, nn.Conv1d | nn.Conv2d) and (set(base.dilation) != {1} or base.padding_mode != "zeros"):
        raise BadInput(
            f"layer {name} has dilation {base.dilation} and padding {base.padding_mode!r}: PEFT's LoRA has dilation 1 "
            "and zeros there; export merged weights instead"
        )


def _check_peanut_can(config: NeatConfig, layers: Mapping[str, NeatLayer]) -> None:
    _check_plain(config, {"use_dora": False, "bias": "none", "trainable_token_indices": None}, "PEANuT")
    if config.conditioning != "weight":
        raise BadInput(f"conditioning={config.conditioning!r}: PEANuT always conditions on W₀; export lora instead")
    if config.depth % 2 or (config.residual != "paired" and config.depth > 2):
        wrong = f"depth={config.depth} with residual={config.residual!r}"
        raise BadInput(f"{wrong}: PEANuT has even depths with residual='paired'; export lora instead")
    if config.rank_pattern or config.scaling_pattern:
        raise BadInput("rank_pattern or scaling_pattern: PEANuT has one r and s for all layers; export lora instead")
    _check_activation(config.activation)
    for name, layer in layers.items():
        if isinstance(layer.get_base_layer(), Conv1D):
            raise BadInput(f"layer {name} is a Conv1D: PEANuT adapts nn.Linear; export lora instead")
        if config.orientation == "in" or (config.orientation == "auto" and layer.out_features > layer.in_features):
            raise BadInput(
                f"orientation={config.orientation!r} maps over d_in on layer {name}: "
                "PEANuT maps over d_out; export lora instead"
            )


def _check_activation(name: str) -> None:
    if name not in ACT2FN:
        raise BadInput(f"activation={name!r}: PEANuT knows transformers' ACT2FN; export lora instead")
    if any(True for _ in make_activation(name).parameters()):
        raise BadInput(f"activation={name!r} learns parameters: PEANuT draws them anew each time; export lora instead")


def _check_plain_lora(config: Any) -> None:
    _check_plain(config, {"use_dora": False, "lora_bias": False}, "NEAT")
    if config.init_lora_weights not in (True, False, "gaussian", "eva", "orthogonal"):
        raise BadInput(f"init_lora_weights={config.init_lora_weights!r} changed W₀ itself, so ΔW is not B A alone")


def _check_plain(config: Any, plain: Mapping[str, Any], method: str) -> None:
    for name, value in plain.items():
        if getattr(config, name, value) != value:
            raise BadInput(f"{name}={getattr(config, name)!r}: {method} has no counterpart; allowed: {name}={value!r}")


def _kind(module: Any) -> str:
    return type(module).__name__


def _write_neat(
    model: PeftModel, adapter: str, config: NeatConfig, thetas: Mapping[str, list[Tensor]], folder: PathLike
) -> None:
    state = {f"{PREFIX}{name}.neat_theta.{i}": theta for name, maps in thetas.items() for i, theta in enumerate(maps)}
    write_adapter(model, adapter, config, state, list(thetas), folder)

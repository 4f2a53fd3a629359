"""A Diffusers UNet: with two NEATs it computes what their ΔW say, and its LoRA files are read as it reads them."""

import copy
import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

import neatlab
from neatlab.adapters.attach import tuner_layers
from neatlab.adapters.neat import NeatConfig
from neatlab.inspection.sources import open_source

UNet = UNet2DConditionModel
ADAPTERS = {
    "style": NeatConfig(r=3, depth=4, activation="gelu", init_weights=False, target_modules=["to_q", "to_v", "conv1"]),
    "subject": NeatConfig(r=2, scaling=0.7, orientation="in", init_weights=False, target_modules=["to_v", "to_out.0"]),
}


@pytest.fixture(scope="module")
def base() -> UNet:
    torch.manual_seed(0)
    return UNet(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    ).requires_grad_(False)


@pytest.fixture
def unet(base: UNet) -> UNet:
    """As a training script makes it."""
    torch.manual_seed(1)
    model = copy.deepcopy(base).eval()
    for name, config in ADAPTERS.items():
        model.add_adapter(config, name)
    return model


def output(model: UNet, **options: object) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    noisy, text = (torch.randn(shape, generator=generator) for shape in [(2, 4, 8, 8), (2, 5, 8)])
    return model(noisy, 10, text, **options).sample


def with_deltas(base: UNet, unet: UNet, weights: dict[str, float]) -> Tensor:
    """What the base computes whose weights have Σ wᵢ ΔWᵢ added."""
    model = copy.deepcopy(base).eval()
    for name, layer in tuner_layers(unet):
        for adapter, weight in weights.items():
            if layer.holds(adapter):
                model.get_submodule(name).weight += weight * layer.get_delta_weight(adapter)
    return output(model)


def assert_is(found: Tensor, wanted: Tensor) -> None:
    assert torch.allclose(found, wanted, atol=1e-5)


@torch.no_grad()
def test_weights_of_the_adapters_are_those_of_their_updates(unet: UNet, base: UNet) -> None:
    one, two = with_deltas(base, unet, {"subject": 1}), with_deltas(base, unet, {"style": 0.3, "subject": 1.4})
    assert min(float((a - b).abs().max()) for a, b in [(one, two), (one, output(base)), (two, output(base))]) > 1e-2
    unet.set_adapters("subject")
    assert_is(output(unet), one)
    unet.set_adapters(["style", "subject"], [0.3, 1.4])
    assert_is(output(unet), two)
    unet.set_adapters(["style", "subject"], [1.0, 1.0])
    assert_is(output(unet), with_deltas(base, unet, {"style": 1, "subject": 1}))


@torch.no_grad()
def test_a_scale_is_that_of_one_call(unet: UNet, base: UNet) -> None:
    wanted = with_deltas(base, unet, {"style": 0.25})
    unet.set_adapters("style")
    before = output(unet)
    assert_is(output(unet, cross_attention_kwargs={"scale": 0.25}), wanted)
    assert torch.equal(output(unet), before)


@torch.no_grad()
def test_fused_and_off(unet: UNet, base: UNet) -> None:
    plain, alone = output(base.eval()), with_deltas(base, unet, {"style": 0.5})
    wanted = with_deltas(base, unet, {"style": 0.5, "subject": 2})
    unet.set_adapters(["style", "subject"], [0.5, 2.0])
    before = output(unet)
    unet.fuse_lora(safe_fusing=True)
    assert_is(output(unet), wanted)
    unet.unfuse_lora()
    assert torch.equal(output(unet), before)
    unet.disable_adapters()
    assert torch.equal(output(unet), plain)
    unet.enable_adapters()
    assert torch.equal(output(unet), before)
    unet.delete_adapters("subject")
    unet.set_adapters("style", 0.5)
    assert_is(output(unet), alone)


def test_it_trains_and_its_weights_are_given_to_another(unet: UNet, base: UNet) -> None:
    unet.delete_adapters("subject")
    unet.set_adapters("style")
    unet.train().enable_gradient_checkpointing()
    optimiser = torch.optim.AdamW([p for p in unet.parameters() if p.requires_grad], lr=0.01)
    target, losses = torch.randn(2, 4, 8, 8), []
    for _ in range(6):
        loss = (output(unet) - target).square().mean()
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.95 * losses[0]
    other = copy.deepcopy(base)
    other.add_adapter(ADAPTERS["style"], "style")
    set_peft_model_state_dict(other, get_peft_model_state_dict(unet, adapter_name="style"), adapter_name="style")
    with torch.no_grad():
        assert torch.equal(output(other.eval()), output(unet.eval()))
        unet.disable_adapters()
        assert torch.equal(output(unet), output(base.eval()))


def fused(base: UNet, file: Path) -> dict[str, Tensor]:
    """What Diffusers' own loader adds to each weight, kernels flattened."""
    model, mixin = copy.deepcopy(base), StableDiffusionLoraLoaderMixin
    state, alphas, metadata = mixin.lora_state_dict(str(file), return_lora_metadata=True)
    mixin.load_lora_into_unet(state, network_alphas=alphas, unet=model, metadata=metadata)
    model.fuse_lora()
    before = base.state_dict()
    after = {
        name.replace(".base_layer", ""): weight for name, weight in model.state_dict().items() if "lora" not in name
    }
    return {name: (after[name] - before[name]).flatten(1) for name in after if after[name].ndim > 1}


@pytest.mark.parametrize("style", ["kohya", "diffusers"])
def test_a_lora_file_is_what_diffusers_loads(style: str, base: UNet, tmp_path: Path) -> None:
    """Linear layers and convolutions of 1 × 1 and 3 × 3, before and after an act, W₀ of each from the UNet's folder."""
    base.save_pretrained(tmp_path / "unet")
    ends = ("to_q", "proj_in", "resnets.0.conv1", "ff.net.2")
    names = [name for name, _ in base.named_modules() if name.endswith(ends)]
    config = LoraConfig(r=3, lora_alpha=5, use_rslora=style == "diffusers", init_lora_weights=False)
    config.target_modules = names
    model = copy.deepcopy(base)
    model.add_adapter(config)
    state = {f"unet.{name}": tensor for name, tensor in get_peft_model_state_dict(model).items()}
    settings = {f"unet.{name}": value for name, value in model.peft_config["default"].to_dict().items()}
    metadata = {"lora_adapter_metadata": json.dumps(settings, default=list)}
    if style == "kohya":
        parts = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight"}
        flat = {f"lora_unet_{name.replace('.', '_')}": f"unet.{name}" for name in names}
        state = {f"{new}.{parts[part]}": state[f"{old}.{part}"] for new, old in flat.items() for part in parts}
        state |= {f"{new}.alpha": torch.tensor(5.0) for new in flat}
        metadata = {}
    save_file(state, tmp_path / "style.safetensors", metadata)
    neatlab.edit(tmp_path / "style.safetensors", ["compress:rank=2"], tmp_path / "out", tmp_path / "unet")
    for file in (tmp_path / "style.safetensors", tmp_path / "out" / "style.safetensors"):
        source, loaded = open_source(file, tmp_path / "unet"), fused(base, file)
        assert len(source.layers) == len(names)
        for layer in source.layers:
            (name,) = (n for n in names if n.replace(".", "_") == layer.split("unet")[1][1:].replace(".", "_"))
            read = source.read(layer)
            assert torch.allclose(read.delta.dense(), loaded[f"{name}.weight"], atol=1e-5), layer
            assert torch.equal(read.weight, base.get_submodule(name).weight.flatten(1))

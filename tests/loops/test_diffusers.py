"""A Diffusers UNet with two NEAT adapters: weighted, scaled, fused and off it computes what its ΔW say."""

import copy

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor

from neatlab.adapters.attach import tuner_layers
from neatlab.adapters.neat import NeatConfig

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

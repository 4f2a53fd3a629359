"""DoRA's magnitudes over NEAT's direction, against the equation of its paper and PEFT's DoRA."""

import copy

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.convert import neat_to_lora, neat_to_peanut
from neatlab.adapters.neat import NeatConfig
from neatlab.adapters.neat.config import parameter_count
from neatlab.errors import BadInput
from neatlab.inspection import inspect
from tests.oracles import neat_delta
from tests.test_neat import D_IN, D_OUT, RANK, Net, adapted, as_in_paper, fill

BASES = {"linear": lambda: Net(), "conv1d": lambda: Net(Conv1D(D_OUT, D_IN)), "no-bias": lambda: Net(unbiased())}


def unbiased():
    return nn.Linear(D_IN, D_OUT, bias=False)


def trained(net, **settings):
    """A net whose adapter and magnitudes have moved."""
    model, layer = adapted(net, **settings)
    with torch.no_grad():
        for magnitude in layer.neat_magnitude.values():
            magnitude.mul_(torch.linspace(0.5, 2, D_OUT))
    return model.eval(), layer


def in_dora(weight, delta, magnitude):
    """m ⊙ V/‖V‖ as DoRA's paper writes it."""
    direction = weight + delta
    return magnitude[:, None] * direction / direction.norm(dim=1, keepdim=True)


class TestMagnitudes:
    @pytest.mark.parametrize("base", BASES)
    @pytest.mark.parametrize("orientation", ["out", "in"])
    def test_forward_equals_the_papers_equation(self, base, orientation):
        _, layer = trained(BASES[base](), use_dora=True, orientation=orientation, depth=4, scaling=0.7)
        weight, x = layer.base_weight(), torch.randn(3, 4, D_IN)
        delta = neat_delta(weight, as_in_paper(layer.thetas("default")), orientation=orientation, scaling=0.7)
        expected = in_dora(weight, delta, layer.neat_magnitude["default"])
        for result in (layer(x), layer.train()(x)):
            assert torch.allclose(result, nn.functional.linear(x, expected, layer.base_layer.bias), atol=1e-5)
        with torch.no_grad():
            assert torch.allclose(layer.eval()(x), nn.functional.linear(x, expected, layer.base_layer.bias), atol=1e-5)
        assert torch.allclose(
            layer.get_delta_weight("default").reshape(-1), as_stored(layer, expected - weight), atol=1e-5
        )

    def test_gradients_are_those_of_pefts_dora(self, tmp_path):
        model, layer = trained(Net(), use_dora=True, conditioning="none", activation="linear")
        neat_to_lora(model, tmp_path / "lora")
        dora = PeftModel.from_pretrained(copy.deepcopy(model).unload(), str(tmp_path / "lora"), is_trainable=True)
        other, x = dora.base_model.model.lin, torch.randn(5, D_IN)
        for one in (layer, other):
            one.train()(x).square().sum().backward()
        first, last = layer.thetas("default")
        pairs = (
            (layer.neat_magnitude["default"].grad, other.lora_magnitude_vector["default"].weight.grad),
            (first.grad, other.lora_A["default"].weight.grad),
            (last.grad, other.lora_B["default"].weight.grad.T),
        )
        for ours, theirs in pairs:
            assert torch.allclose(ours, theirs, atol=1e-4 * theirs.abs().max())

    def test_it_starts_as_the_base_and_counts_a_number_for_each_row(self):
        base = Net().eval()
        model, layer = adapted(copy.deepcopy(base), filled=False, use_dora=True)
        x = torch.randn(4, D_IN)
        assert torch.allclose(model.eval()(x), base(x), atol=1e-6)
        trainable = sum(p.numel() for p in layer.parameters() if p.requires_grad)
        assert trainable == parameter_count(layer.neat_config["default"], D_IN, D_OUT) == 2 * RANK * D_OUT + D_OUT

    @pytest.mark.parametrize("base", BASES)
    def test_merged_unmerged_saved_and_as_a_lora_it_is_the_same(self, base, tmp_path):
        net = BASES[base]()
        model, layer = trained(copy.deepcopy(net), use_dora=True)
        before, x = layer.base_layer.weight.clone(), torch.randn(4, D_IN)
        with torch.no_grad():
            expected = model(x)
            model.save_pretrained(tmp_path / "neat")
            neat_to_lora(model, tmp_path / "lora")
            for folder in ("neat", "lora"):
                loaded = PeftModel.from_pretrained(copy.deepcopy(net), str(tmp_path / folder)).eval()
                assert torch.allclose(loaded(x), expected, atol=1e-5)
            model.merge_adapter()
            assert torch.allclose(model(x), expected, atol=1e-5)
            model.unmerge_adapter()
        assert torch.equal(layer.base_layer.weight, before)
        assert not layer.supports_lora_conversion()

    def test_two_adapters_add_their_changes_and_a_row_has_its_own(self):
        model, layer = trained(Net(), use_dora=True)
        model.add_adapter("other", NeatConfig(r=3, use_dora=True, dropout=0.5, target_modules=["lin"]))
        fill(layer, "other")
        weight, x = layer.base_weight(), torch.randn(4, D_IN)
        changes = {name: layer.dense_delta(name) for name in ("default", "other")}
        model.base_model.set_adapter(["default", "other"])
        both = nn.functional.linear(x, weight + sum(changes.values()), layer.base_layer.bias)
        assert torch.allclose(model.eval().base_model.model.lin(x), both, atol=1e-5)
        names = ["other", "default", "__base__", "other"]
        rows = layer(x, adapter_names=names)
        for row, name in enumerate(names):
            own = weight + changes.get(name, 0)
            assert torch.allclose(rows[row], nn.functional.linear(x[row], own, layer.base_layer.bias), atol=1e-5)
        with pytest.raises(BadInput, match="magnitudes"):
            model.add_weighted_adapter(["default", "other"], [1, 1], "sum")

    def test_dropout_meets_the_whole_change(self):
        _, layer = trained(Net(), use_dora=True, dropout=0.4)
        x = torch.randn(6, D_IN)
        torch.manual_seed(3)
        result = layer.train()(x)
        torch.manual_seed(3)
        dropped = nn.functional.dropout(x, 0.4)
        expected = layer.base_layer(x) + dropped @ layer.dense_delta("default").T
        assert torch.allclose(result, expected, atol=1e-5)

    def test_a_change_of_anything_is_seen_in_evaluation(self):
        _, layer = trained(Net(), use_dora=True)
        x = torch.randn(2, D_IN)
        with torch.no_grad():
            for tensor in (layer.neat_magnitude["default"], layer.thetas("default")[0], layer.base_layer.weight):
                layer(x)
                tensor.mul_(1.5)
                weight = layer.base_weight() + layer.dense_delta("default")
                assert torch.allclose(layer(x), nn.functional.linear(x, weight, layer.base_layer.bias), atol=1e-5)

    def test_the_inspector_reads_it(self, tmp_path):
        net = Net()
        model, layer = trained(copy.deepcopy(net), use_dora=True)
        model.save_pretrained(tmp_path / "neat")
        (tmp_path / "base").mkdir()
        save_file(net.state_dict(), tmp_path / "base" / "model.safetensors")
        with torch.no_grad():
            expected = torch.linalg.svdvals(layer.dense_delta("default").double())
        (layer_result,) = inspect(tmp_path / "neat", tmp_path / "base").layers
        assert torch.allclose(layer_result.spectrum.singular_values.double(), expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        ("name", "make"), [("embedding", lambda: nn.Embedding(9, 6)), ("conv", lambda: nn.Conv1d(4, 6, 3))]
    )
    def test_other_layers_refuse_it(self, name, make):
        with pytest.raises(BadInput, match="use_dora is for linear layers"):
            get_peft_model(nn.Sequential(make()), NeatConfig(r=2, use_dora=True, target_modules=["0"]))

    def test_peanut_has_no_counterpart(self, tmp_path):
        model, _ = trained(Net(), use_dora=True)
        with pytest.raises(BadInput, match="use_dora=True: PEANuT has no counterpart"):
            neat_to_peanut(model, tmp_path / "peanut")


def as_stored(layer, matrix):
    return (matrix.T if isinstance(layer.base_layer, Conv1D) else matrix).reshape(-1)

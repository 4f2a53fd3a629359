"""What LoRA's users expect of an adapter, on NEAT: biases, tied weights, and a start as large as LoRA's."""

import copy
import math

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from neatlab.adapters.attach import quiet_peft
from neatlab.adapters.convert import lora_to_neat, neat_to_lora
from neatlab.adapters.neat import NeatConfig
from neatlab.errors import BadInput
from tests.oracles import neat_delta
from tests.test_neat import D_IN, D_OUT, Net, adapted, as_in_paper


class TestBias:
    @pytest.mark.parametrize(("bias", "names"), [("all", {"lin", "head"}), ("neat_only", {"lin"}), ("none", set())])
    def test_those_train_that_were_asked_for_and_travel_with_the_adapter(self, bias, names, tmp_path):
        base = Net()
        model, _ = adapted(copy.deepcopy(base), bias=bias)
        biases = {name: p for name, p in model.named_parameters() if name.endswith(".bias")}
        assert {name.split(".")[2] for name, p in biases.items() if p.requires_grad} == names
        with torch.no_grad():
            for p in filter(lambda p: p.requires_grad, biases.values()):
                p.normal_()
        x = torch.randn(3, D_IN)
        model.save_pretrained(tmp_path / "neat")
        neat_to_lora(model, tmp_path / "lora")
        for folder in ("neat", "lora"):
            loaded = PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path / folder))
            assert torch.allclose(loaded(x), model(x), atol=1e-5)

    def test_a_lora_brings_its_biases_into_neat(self, tmp_path):
        base = Net(nn.Linear(D_IN, 2 * D_IN))
        model = get_peft_model(copy.deepcopy(base), LoraConfig(r=3, bias="lora_only", target_modules=["lin"]))
        with torch.no_grad():
            for p in filter(lambda p: p.requires_grad, model.parameters()):
                p.normal_(0, 0.3)
        lora_to_neat(model, tmp_path / "neat")
        x = torch.randn(3, D_IN)
        loaded = PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path / "neat"))
        assert loaded.peft_config["default"].bias == "neat_only"
        assert torch.allclose(loaded(x), model(x), atol=1e-4)

    def test_another_word_is_refused(self):
        with pytest.raises(BadInput, match="unknown bias 'lora_only'"):
            NeatConfig(bias="lora_only")


def language_model():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, tie_word_embeddings=True, **sizes)).eval()


def with_neat(**settings):
    with quiet_peft():
        return get_peft_model(language_model(), NeatConfig(r=3, init_weights=False, scaling=0.5, **settings)).eval()


TOKENS = torch.arange(14).view(2, 7)
BOTH = ["embed_tokens", "lm_head"]


class TestTiedWeights:
    @pytest.mark.filterwarnings("ignore:Model with `tie_word_embeddings=True`")
    @pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied")
    @pytest.mark.parametrize("targets", [["embed_tokens"], ["lm_head"], BOTH], ids="-".join)
    def test_merging_into_one_layer_leaves_the_other(self, targets):
        model = with_neat(target_modules=targets)
        with torch.no_grad():
            expected = model(TOKENS).logits
            model.merge_adapter()
            assert torch.allclose(model(TOKENS).logits, expected, atol=1e-5)
            model.unmerge_adapter()
            assert torch.equal(model(TOKENS).logits, expected)
            base = model.get_base_model()
            assert base.lm_head.get_parameter("base_layer.weight" if "lm_head" in targets else "weight") is (
                base.get_input_embeddings().get_parameter(
                    "base_layer.weight" if "embed_tokens" in targets else "weight"
                )
            )
            assert torch.allclose(model.merge_and_unload()(TOKENS).logits, expected, atol=1e-5)

    @pytest.mark.filterwarnings("ignore:Model with `tie_word_embeddings=True`")
    @pytest.mark.parametrize("targets", [["embed_tokens"], ["lm_head"], BOTH, ".*lm_head"], ids=str)
    @pytest.mark.parametrize("orientation", ["out", "in", "auto"])
    def test_tied_layers_have_one_adapter_and_one_weight_when_merged(self, targets, orientation, tmp_path):
        model = with_neat(target_modules=targets, ensure_weight_tying=True, orientation=orientation, activation="tanh")
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        trainable = [p for p in model.parameters() if p.requires_grad]
        assert len(trainable) == 2 and trainable[0] is head.thetas("default")[0]
        weight = embedding.base_layer.weight.detach()  # tokens × width
        side = "out" if orientation == "auto" else orientation  # the width is the cheaper one
        delta = neat_delta(weight.T, as_in_paper(embedding.thetas("default")), "tanh", orientation=side, scaling=0.5)
        with torch.no_grad():
            assert torch.allclose(head.dense_delta("default"), delta.T, atol=1e-5)
            assert torch.allclose(embedding.dense_delta("default"), delta, atol=1e-5)
            expected = model(TOKENS).logits
            model.save_pretrained(tmp_path / "neat")
            loaded = PeftModel.from_pretrained(language_model(), str(tmp_path / "neat")).eval()
            assert torch.equal(loaded(TOKENS).logits, expected)
            neat_to_lora(model, tmp_path / "lora")
            merged = model.merge_and_unload()
            assert torch.allclose(merged(TOKENS).logits, expected, atol=1e-5)
        assert merged.lm_head.weight is merged.model.embed_tokens.weight and merged.config.tie_word_embeddings

    @pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
    def test_tied_layers_become_two_loras(self, tmp_path):
        model = with_neat(target_modules=BOTH, ensure_weight_tying=True)
        neat_to_lora(model, tmp_path / "lora")
        loaded = PeftModel.from_pretrained(language_model(), str(tmp_path / "lora")).eval()
        with torch.no_grad():
            assert torch.allclose(loaded(TOKENS).logits, model(TOKENS).logits, atol=1e-5)

    def test_a_copy_that_trains_whole_stays_tied_too(self):
        model = with_neat(target_modules=["q_proj"], modules_to_save=["lm_head"], ensure_weight_tying=True)
        whole = [name for name, p in model.named_parameters() if p.requires_grad and "modules_to_save" in name]
        assert whole == ["base_model.model.model.embed_tokens.modules_to_save.default.weight"]


class TestCalibratedStart:
    @pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "sin", "linear", "silu"])
    @pytest.mark.parametrize(
        "variant",
        [{}, {"depth": 4}, {"depth": 3, "residual": "none"}, {"orientation": "in"}, {"conditioning": "none"}],
        ids=str,
    )
    def test_the_hidden_map_is_as_large_as_what_lora_draws(self, activation, variant):
        net = Net(nn.Linear(D_IN, 6 * D_OUT))
        model, layer = adapted(
            copy.deepcopy(net), filled=False, init_weights="calibrated", activation=activation, **variant
        )
        lora = get_peft_model(copy.deepcopy(net), LoraConfig(r=12, target_modules=["lin"]))
        drawn = lora.base_model.model.lin.lora_A["default"].weight.square().mean().sqrt()
        factors = layer.factors("default")
        hidden = factors.left if layer.neat_config["default"].orientation == "in" else factors.right
        assert float(hidden.detach().square().mean().sqrt()) == pytest.approx(1 / math.sqrt(3 * D_IN), rel=1e-4)
        assert float(drawn.detach()) == pytest.approx(1 / math.sqrt(3 * D_IN), rel=0.2)  # a draw of 288 numbers
        x = torch.randn(3, D_IN)
        assert torch.equal(model(x), net(x))

    def test_of_an_embedding_it_is_the_other_matrix(self):
        model = get_peft_model(
            nn.Sequential(nn.Embedding(90, 20)), NeatConfig(r=4, init_weights="calibrated", target_modules=["0"])
        )
        layer = model.base_model.model[0]
        assert float(layer.factors("default").right.detach().square().mean().sqrt()) == pytest.approx(1, rel=1e-4)

    def test_only_the_first_matrix_differs_from_the_papers_start(self):
        net, starts = Net(), []
        for start in (True, "calibrated"):
            torch.manual_seed(5)
            starts.append(adapted(copy.deepcopy(net), filled=False, init_weights=start, depth=4)[1].thetas("default"))
        (first, *others), (scaled, *same) = starts
        assert all(torch.equal(a, b) for a, b in zip(others, same, strict=True))
        ratio = scaled / first
        assert torch.allclose(ratio, ratio[0, 0].expand_as(ratio), rtol=1e-5) and not torch.allclose(first, scaled)

    def test_a_dead_or_zero_layer_keeps_what_was_drawn(self):
        net = Net()
        torch.nn.init.zeros_(net.lin.weight)
        _, layer = adapted(net, filled=False, init_weights="calibrated")
        assert layer.thetas("default")[0].abs().sum() > 0

    def test_the_checkpoint_holds_nothing_more_and_loads_onto_nothing(self, tmp_path):
        net = Net()
        model, layer = adapted(copy.deepcopy(net), init_weights="calibrated")
        plain, _ = adapted(copy.deepcopy(net))
        assert set(model.state_dict()) == set(plain.state_dict())
        model.save_pretrained(tmp_path)
        loaded = PeftModel.from_pretrained(copy.deepcopy(net), str(tmp_path), low_cpu_mem_usage=True)
        for ours, theirs in zip(layer.thetas("default"), loaded.base_model.model.lin.thetas("default"), strict=True):
            assert torch.equal(ours, theirs)

    def test_what_has_no_such_scale_is_refused(self):
        with pytest.raises(BadInput, match="'sigmoid', which is not 0 at 0"):
            NeatConfig(init_weights="calibrated", activation="sigmoid")
        with pytest.raises(BadInput, match=r"unknown init_weights 'calibrate'; .* did you mean 'calibrated'"):
            NeatConfig(init_weights="calibrate")

"""Adapters as plain PEFT writes them, opened and held against PEFT's own merge and dense float64 computations."""

import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
)

import neatlab
from neatlab import BadInput, NeatConfig
from neatlab.adapters.attach import quiet_peft
from neatlab.adapters.factors import Factors
from neatlab.adapters.methods import METHODS
from neatlab.analysis.partial_svd import Gram, leading_svd
from neatlab.analysis.quantities import QUANTITIES
from neatlab.analysis.subspaces import Intruders
from neatlab.cli import main
from neatlab.inspection import compare_adapters, inspect, weights
from neatlab.inspection.measure import measure, split_name
from neatlab.inspection.source import Layer
from neatlab.inspection.sources import open_source
from neatlab.inspection.verdict import findings
from tests.models import GPT2, MODELS
from tests.test_methods import ADAPTERS, options

ALONE = {"lora", "rslora", "loha", "lokr"}  # whose files tell ΔW without the base; others may
BASES = {**MODELS, "gpt2": GPT2}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    for name, tiny in BASES.items():
        tiny.build().save_pretrained(folder / name, max_shard_size="20KB")
    return folder


def shaken(model, seed=0):
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    return model


def trained(tiny, config, folder, seed=0):
    """A folder that plain PEFT has written."""
    if hasattr(config, "fan_in_fan_out"):
        config.fan_in_fan_out = tiny is GPT2
    with quiet_peft():
        model = shaken(get_peft_model(tiny.build(), config), seed)
        model.save_pretrained(folder)
    return folder


def trained_lora(folder, seed=0, r=2, tiny=MODELS["llama"], **settings):
    return trained(tiny, LoraConfig(r=r, lora_alpha=3, target_modules=tiny.targets, **settings), folder, seed)


def merged_deltas(tiny, folder):
    """What PEFT's own merge adds to each weight."""
    with quiet_peft():
        merged = PeftModel.from_pretrained(tiny.build(), folder).merge_and_unload()
    before, after = tiny.build().state_dict(), merged.state_dict()
    conv1d = tiny is GPT2
    changed = {n.removesuffix(".weight"): (after[n] - before[n]).double() for n in before if n.endswith(".weight")}
    return {n: d.T if conv1d and ".h." in n else d for n, d in changed.items() if d.ndim == 2}


def dense(delta):
    return (delta.dense() if isinstance(delta, Factors) else delta).double()


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("name", BASES)
def test_every_type_is_what_peft_merges(kind, name, bases, tmp_path):
    tiny = BASES[name]
    if name == "gpt2" and not METHODS[kind].fits_conv1d:
        return
    trained(tiny, METHODS[kind].config(options(kind), tiny.targets), tmp_path)
    expected = merged_deltas(tiny, tmp_path)
    source = open_source(tmp_path, bases / name)
    assert len(source.layers) == len([n for n in expected if any(f".{n}".endswith(f".{t}") for t in tiny.targets)])
    for layer in source.layers:
        found = source.read(layer)
        assert torch.allclose(dense(found.delta), expected[layer], atol=2e-6), layer
        assert found.weight.shape == found.delta.shape
    try:
        alone = open_source(tmp_path)
    except BadInput as error:
        assert "give the model with --base" in str(error) and kind not in ALONE
        return
    assert all(torch.equal(dense(alone.read(n).delta), dense(source.read(n).delta)) for n in alone.layers)


@pytest.mark.parametrize("orientation", ["out", "in"])
def test_neat_that_does_not_look_at_w0_needs_no_base(orientation, bases, tmp_path):
    tiny = MODELS["llama"]
    config = NeatConfig(r=2, depth=4, conditioning="none", orientation=orientation, target_modules=tiny.targets)
    trained(tiny, config, tmp_path)
    alone, based = open_source(tmp_path), open_source(tmp_path, bases / "llama")
    for layer in alone.layers:
        assert torch.equal(dense(alone.read(layer).delta), dense(based.read(layer).delta))
        assert alone.read(layer).delta.shape == tiny.build().get_submodule(layer).weight.shape


def test_neat_on_either_side_does_not_tell_its_shape(tmp_path):
    config = NeatConfig(r=2, conditioning="none", orientation="auto", target_modules=["up_proj"])
    trained(MODELS["llama"], config, tmp_path)
    with pytest.raises(BadInput, match="do not tell its layers' shapes; give the model with --base"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"rank_pattern": {"q_proj": 1, r"model\.layers\.1\.mlp\.up_proj": 3}, "alpha_pattern": {"v_proj": 7}},
        {"init_lora_weights": "olora"},
        {"use_dora": True, "use_rslora": True},
        {"modules_to_save": ["lm_head"], "bias": "lora_only"},
    ],
    ids=str,
)
def test_settings_of_lora_count_as_in_peft(settings, bases, tmp_path):
    trained_lora(tmp_path, **settings)
    expected = merged_deltas(MODELS["llama"], tmp_path)
    source = open_source(tmp_path, bases / "llama")
    assert all(torch.allclose(dense(source.read(n).delta), expected[n], atol=2e-6) for n in source.layers)
    ranks = settings.get("rank_pattern", {})
    assert {source.read(n).requested_rank for n in source.layers} == ({1, 2, 3} if ranks else {2})
    assert ("base_model.model.lm_head.weight" in source.trained_whole) == ("modules_to_save" in settings)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"),
            "PROMPT_TUNING adapter cannot be computed: it changes inputs",
        ),
        (LoraConfig(target_modules=["q_proj"], init_lora_weights="pissa_niter_2"), "cannot be made again"),
    ],
    ids=["prompt tuning", "fast pissa"],
)
def test_what_is_not_known_is_refused_with_the_reason(config, message, bases, tmp_path):
    trained(MODELS["llama"], config, tmp_path)
    with pytest.raises(BadInput, match=message):
        inspect(tmp_path, bases / "llama")


def test_embeddings_are_left_out_and_said(bases, tmp_path):
    config = LoraConfig(r=2, target_modules=["embed_tokens", "q_proj"])
    with pytest.warns(UserWarning, match="embedding"):
        trained(MODELS["llama"], config, tmp_path)
    found = inspect(tmp_path, bases / "llama")
    assert found.left_out == {"model.embed_tokens": "an embedding; only linear layers are inspected"}
    assert len(found.layers) == 2


def test_ia3_on_both_sides(bases, tmp_path):
    config = IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"])
    trained(MODELS["llama"], config, tmp_path)
    expected = merged_deltas(MODELS["llama"], tmp_path)
    source = open_source(tmp_path, bases / "llama")
    assert all(torch.allclose(dense(source.read(n).delta), expected[n], atol=2e-6) for n in source.layers)


def test_a_base_saved_without_its_head_fits(tmp_path):
    tiny = MODELS["bert"]
    tiny.build().bert.save_pretrained(tmp_path / "base")
    trained(tiny, LoraConfig(r=2, target_modules=["query"]), tmp_path / "adapter")
    source = open_source(tmp_path / "adapter", tmp_path / "base")
    weights = dict(tiny.build().named_parameters())
    assert source.layers[0] == "bert.encoder.layer.0.attention.self.query"
    assert all(torch.equal(source.read(n).weight, weights[f"{n}.weight"]) for n in source.layers)


def gpt2_config(**settings):
    return GPT2Config(vocab_size=24, n_embd=16, n_layer=1, n_head=2, n_positions=16, pad_token_id=0, **settings)


def test_only_the_conv1d_layers_of_gpt2_are_transposed(tmp_path):
    model = GPT2ForSequenceClassification(gpt2_config(num_labels=3))
    model.save_pretrained(tmp_path / "before")
    source = open_source(_moved(model, tmp_path / "after"), tmp_path / "before")
    shapes = {name: tuple(source.read(name).delta.shape) for name in source.layers}
    assert shapes == {
        "score": (3, 16),
        "transformer.h.0.attn.c_attn": (48, 16),
        "transformer.h.0.attn.c_proj": (16, 16),
        "transformer.h.0.mlp.c_fc": (64, 16),
        "transformer.h.0.mlp.c_proj": (16, 64),
    }


def test_gpt2_is_transposed_inside_another_model_too(tmp_path):
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        MODELS["vit"].build().config, gpt2_config(add_cross_attention=True, is_decoder=True)
    )
    model = VisionEncoderDecoderModel(config)
    model.save_pretrained(tmp_path / "before")
    source = open_source(_moved(model, tmp_path / "after"), tmp_path / "before")
    shapes = {name: tuple(source.read(name).delta.shape) for name in source.layers}
    assert shapes["decoder.transformer.h.0.mlp.c_fc"] == (64, 16)
    assert shapes["encoder.encoder.layer.0.intermediate.dense"] == (32, 16)


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_tied_to_the_embedding_stands_on_it(tied, bases, tmp_path):
    shutil.copytree(bases / "gpt2", tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": tied}))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 2}))
    left, right = torch.randn(24, 2), torch.randn(2, 16)
    lora = {"lora_A": right, "lora_B": left}
    tensors = {f"base_model.model.lm_head.{name}.weight": tensor for name, tensor in lora.items()}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    if not tied:
        with pytest.raises(BadInput, match="layer lm_head of the adapter is not in"):
            open_source(tmp_path, tmp_path / "base")
        return
    found = open_source(tmp_path, tmp_path / "base").read("lm_head")
    assert torch.equal(found.weight, GPT2.build().transformer.wte.weight)
    assert torch.allclose(dense(found.delta), (left @ right).double(), atol=1e-6)


def _moved(model, folder):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1
    model.save_pretrained(folder)
    return folder


def test_two_checkpoints_are_compared(bases, tmp_path):
    model = MODELS["llama"].build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path)
    found = inspect(tmp_path, bases / "llama", directions=2)
    before, after = MODELS["llama"].build().state_dict(), model.state_dict()
    assert [layer.name for layer in found.layers] == [
        n.removesuffix(".weight") for n in sorted(before) if before[n].ndim == 2 and "embed" not in n
    ]
    for layer in found.layers:
        delta = (after[f"{layer.name}.weight"] - before[f"{layer.name}.weight"]).double()
        assert torch.allclose(layer.spectrum.singular_values, torch.linalg.svdvals(delta), atol=1e-6)
    assert found.method == "checkpoint"
    assert "model.embed_tokens" in found.left_out


TABLES = ["wte", "transformer.wpe", "shared", "model.embed_tokens", "bert.embeddings.word_embeddings"]
TABLES += ["encoder.block.0.layer.0.SelfAttention.relative_attention_bias", "gpt_neox.embed_in"]
LINEAR = ["model.layers.0.mlp.shared_expert.up_proj", "model.layers.0.mlp.shared_expert_gate"]
LINEAR += ["encoder.embedding_hidden_mapping_in", "embed_out", "bert.embeddings.dense"]


def test_tables_are_told_from_linear_layers_by_the_last_part_of_their_names(tmp_path):
    before = {f"{name}.weight": torch.randn(6, 5) for name in TABLES + LINEAR}
    save_file(before, tmp_path / "before.safetensors")
    save_file({name: tensor + 1 for name, tensor in before.items()}, tmp_path / "after.safetensors")
    source = open_source(tmp_path / "after.safetensors", tmp_path / "before.safetensors")
    assert (sorted(source.left_out), sorted(source.layers)) == (sorted(TABLES), sorted(LINEAR))


def oracle(delta, weight, k):
    """Every quantity from full SVDs in float64."""
    u, s, vh = torch.linalg.svd(delta)
    u0, _, vh0 = torch.linalg.svd(weight)
    rank = int((s > 1e-6 * s[0]).sum())
    p, q = s / s.sum(), s.square() / s.square().sum()
    i = min(k, rank)
    u1 = torch.linalg.svd(weight + delta)[0][:, :k]
    smaller = min(weight.shape)
    return {
        "norm": s.norm(),
        "effective_rank": torch.special.entr(p).sum().exp(),
        "stable_rank": s.square().sum() / s[0] ** 2,
        "participation_ratio": s.square().sum() ** 2 / s.pow(4).sum(),
        "energy_rank_90": (q.cumsum(0) < 0.9).sum() + 1,
        "weight_norm": weight.norm(),
        "relative_norm": s.norm() / weight.norm(),
        "amplification": s.norm() / (u[:, :rank].T @ weight @ vh[:rank].T).norm(),
        "overlap_left": (u[:, :i].T @ u0[:, :k]).square().sum() / i,
        "overlap_right": (vh[:i] @ vh0[:k].T).square().sum() / i,
        "intruders": ((u0[:, :smaller].T @ u1).abs().max(0).values < 0.5).sum(),
    }


def test_every_quantity_is_the_dense_one(bases, tmp_path):
    trained_lora(tmp_path, seed=3)
    weights = {n: p.detach().double() for n, p in MODELS["llama"].build().named_parameters()}
    deltas = merged_deltas(MODELS["llama"], tmp_path)
    found = inspect(tmp_path, bases / "llama", directions=3).to_dict()["layers"]
    assert len(found) == 8
    for layer in found:
        k = max(1, min(3, min(layer["shape"]) // 4))
        assert layer["directions_of_w0"] == k
        for name, value in oracle(deltas[layer["name"]], weights[f"{layer['name']}.weight"], k).items():
            assert layer[name] == pytest.approx(float(value), rel=1e-4), (layer["name"], name)


def test_a_structured_update_has_known_answers():
    u, v = (torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))[0] for d in (40, 48))
    sigma = 0.9 ** torch.arange(40, dtype=torch.float64)
    weight = u * sigma @ v[:, :40].T
    own = Factors(u[:, :2] * sigma[:2], v[:, :2].T)  # doubles W₀'s first two directions
    found = measure("x", Layer(own, weight), 4)
    assert found.against_base.left.similarity == pytest.approx(1)
    assert found.against_base.right.similarity == pytest.approx(1)
    assert found.against_base.amplification == pytest.approx(1)
    assert found.against_base.intruders.count == 0
    assert found.against_base.left.baseline.mean == 4 / 40
    assert found.against_base.right.baseline.mean == 4 / 48
    elsewhere = Factors(u[:, 30:32] * 9, v[:, 40:42].T)  # writes to weak directions, reads from W₀'s null space
    found = measure("x", Layer(elsewhere, weight), 4)
    assert found.against_base.left.similarity == pytest.approx(0, abs=1e-9)
    assert found.against_base.right.similarity == pytest.approx(0, abs=1e-9)
    assert found.against_base.amplification > 1e6
    one_side = Factors(torch.randn(40, 2, dtype=torch.float64), v[:, :2].T)  # NEAT's kind: one side from W₀
    found = measure("x", Layer(one_side, weight), 4)
    assert found.against_base.right.similarity == pytest.approx(1)
    assert found.against_base.left.similarity < 0.6


@pytest.mark.parametrize("size", [60, 270])
def test_what_a_dense_update_amplifies_does_not_depend_on_the_directions_compared(size):
    weight, delta = torch.randn(size, size), 0.5 * torch.randn(size, size)
    found = [measure("x", Layer(delta, weight), count).against_base for count in (0, 4, 40)]
    u, s, vh = torch.linalg.svd(delta.double())
    expected = float(s[:16].norm() / (u[:, :16].T @ weight.double() @ vh[:16].T).norm())
    for one in found:
        assert one.amplification == pytest.approx(expected, rel=2e-3)
        assert one.random_amplification == pytest.approx(found[0].random_amplification, rel=1e-4)
        assert one.amplified == 16


def test_the_random_counterpart_of_a_dense_update_has_all_its_singular_values(monkeypatch):
    drawn = []
    leading = Gram.leading
    monkeypatch.setattr(Gram, "leading", lambda self, k, update=None: drawn.append(update) or leading(self, k, update))
    delta = torch.randn(40, 30)
    measure("x", Layer(delta, torch.randn(40, 30)), 4)
    (random,) = [one for one in drawn if one is not None]
    assert torch.allclose(torch.linalg.svdvals(random.dense()), torch.linalg.svdvals(delta.double()), rtol=1e-4)


def test_dora_says_how_magnitude_and_direction_moved(bases, tmp_path):
    trained_lora(tmp_path, use_dora=True)
    weights = {n: p.detach().double() for n, p in MODELS["llama"].build().named_parameters()}
    deltas = merged_deltas(MODELS["llama"], tmp_path)
    for layer in inspect(tmp_path, bases / "llama", directions=0).to_dict()["layers"]:
        before = weights[f"{layer['name']}.weight"]
        after = before + deltas[layer["name"]]
        cosines = torch.nn.functional.cosine_similarity(before, after)
        assert layer["dora"]["direction"] == pytest.approx(float((1 - cosines).mean()), abs=1e-6)
        assert layer["dora"]["magnitude"] == pytest.approx(
            float((after.norm(dim=1) - before.norm(dim=1)).abs().mean() / before.norm(dim=1).mean()), rel=1e-3
        )
        assert "overlap_left" not in layer


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.3.self_attn.q_proj", ("self_attn.q_proj", 3)),
        ("bert.encoder.layer.11.output.dense", ("output.dense", 11)),
        ("model.layers.2.mlp.experts.5.w1", ("mlp.experts.*.w1", 2)),
        ("classifier.out", ("out", None)),
        ("body.0", ("body.0", None)),
    ],
)
def test_a_layer_has_a_place_and_a_block(name, expected):
    assert split_name(name) == expected


def test_the_cache_serves_the_same_file_and_no_other(bases, tmp_path, monkeypatch):
    monkeypatch.setenv("NEATLAB_CACHE", str(tmp_path / "cache"))
    folder = trained_lora(tmp_path / "adapter")
    calls = []
    leading = Gram.leading
    monkeypatch.setattr(Gram, "leading", lambda self, *a: calls.append(a) or leading(self, *a))
    first = inspect(folder, bases / "llama").to_dict()
    computed = len(calls)
    assert inspect(folder, bases / "llama").to_dict() == first
    assert len(calls) == computed + 2 * 8  # W₀ + ΔW and its random counterpart, but not W₀
    tensors = load_file(trained_lora(tmp_path / "other", seed=9) / "adapter_model.safetensors")
    assert tensors
    model = MODELS["llama"].build()
    model.model.layers[0].mlp.up_proj.weight.data *= -1
    model.save_pretrained(tmp_path / "base")
    assert inspect(folder, tmp_path / "base").to_dict()["layers"][1] != first["layers"][1]


def test_every_quantity_is_a_column_of_the_inspection(bases, tmp_path):
    frame = inspect(trained_lora(tmp_path), bases / "llama").frame()
    wanted = {*QUANTITIES, *(row.random for row in QUANTITIES.values() if row.random)}
    assert wanted <= set(frame)


def test_a_cache_that_cannot_be_written_costs_a_warning(bases, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEATLAB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="leading directions are not kept"):
        assert inspect(trained_lora(tmp_path / "adapter"), bases / "llama").layers


def test_a_base_is_read_a_layer_at_a_time_and_no_further(bases, tmp_path, monkeypatch):
    seen = []
    read = weights.read_tensor
    monkeypatch.setattr(weights, "read_tensor", lambda entry: seen.append(entry) or read(entry))
    found = inspect(trained_lora(tmp_path), bases / "llama", directions=0)
    assert [entry.tensor for entry in seen] == [f"{layer.name}.weight" for layer in found.layers]
    assert len({entry.file for entry in seen}) > 1  # shards
    seen.clear()
    inspect(tmp_path)
    assert seen == []


@pytest.mark.parametrize("config", [LoraConfig(r=2), NeatConfig(r=2)], ids=["lora", "neat"])
def test_half_precision_is_read_as_it_is(config, tmp_path):
    tiny = MODELS["llama"]
    config.target_modules = {"q_proj", "down_proj"}
    trained(tiny, config, tmp_path / "whole")
    tensors = load_file(tmp_path / "whole" / "adapter_model.safetensors")
    shutil.copytree(tmp_path / "whole", tmp_path / "half")
    save_file({n: t.bfloat16() for n, t in tensors.items()}, tmp_path / "half" / "adapter_model.safetensors")
    tiny.build().save_pretrained(tmp_path / "base")
    tiny.build().bfloat16().save_pretrained(tmp_path / "half-base")
    whole, half = inspect(tmp_path / "whole", tmp_path / "base"), inspect(tmp_path / "half", tmp_path / "half-base")
    for a, b in zip(whole.frame().to_dict("records"), half.frame().to_dict("records"), strict=True):
        for name in ("norm", "effective_rank", "relative_norm", "amplification", "overlap_left", "overlap_right"):
            assert b[name] == pytest.approx(a[name], rel=0.05), (a["layer"], name)


def test_progress_names_every_layer_first(tmp_path):
    seen = []
    found = inspect(trained_lora(tmp_path), on_layer=lambda *progress: seen.append(progress))
    assert seen == [(i, 8, layer.name) for i, layer in enumerate(found.layers)]


def test_tables(bases, tmp_path):
    found = inspect(trained_lora(tmp_path), bases / "llama")
    frame, spectra = found.frame(), found.spectra()
    assert list(frame["layer"]) == list(spectra["layer"]) == [layer.name for layer in found.layers]
    assert {"adapter", "kind", "depth", "d_out", "d_in", "norm", "overlap_left", "random_overlap_left"} <= set(frame)
    assert neatlab.plots.spectrum(found, layer=frame["layer"][2]).data


def test_adapters_share_what_they_share(tmp_path):
    first = trained_lora(tmp_path / "first")
    tensors = load_file(first / "adapter_model.safetensors")
    twice = trained_lora(tmp_path / "twice")
    save_file({n: 2 * t if "lora_B" in n else t for n, t in tensors.items()}, twice / "adapter_model.safetensors")
    other = trained_lora(tmp_path / "other", seed=5)
    found = compare_adapters([first, twice, other], titles=["a", "b", "c"])
    by_pair = {(p.a, p.b, p.layer): p for p in found.pairs}
    assert len(by_pair) == 3 * 8
    deltas = {title: open_source(path) for title, path in zip("abc", (first, twice, other), strict=True)}
    for (a, b, layer), pair in by_pair.items():
        x, y = (dense(deltas[title].read(layer).delta) for title in (a, b))
        assert pair.cosine == pytest.approx(float((x * y).sum() / (x.norm() * y.norm())), abs=1e-6)
        u, w = (torch.linalg.svd(one)[0][:, :2] for one in (x, y))
        cosines = torch.linalg.svdvals(u.T @ w).clamp(max=1)
        assert pair.left.angles.cos().tolist() == pytest.approx(cosines.tolist(), abs=1e-6)
        share = float((w @ w.T @ x).square().sum() / x.square().sum())
        assert pair.left.share_of_a == pytest.approx(share, rel=1e-5)
        if (a, b) == ("a", "b"):
            assert pair.right.angles.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert found.frame().groupby("adapter").size().to_dict() == {"a": 8, "b": 8, "c": 8}
    angles = found.angles()
    assert len(angles) == 3 * 8 * 2 * 2
    assert ((angles["angle"] >= 0) & (angles["angle"] <= math.pi / 2)).all()
    assert "cosine 1.000" in found.verdict()[0]


def test_adapters_that_cannot_be_compared_are_refused(tmp_path):
    lora, bert = trained_lora(tmp_path / "a"), tmp_path / "bert"
    trained(MODELS["bert"], LoraConfig(r=2, target_modules=["query"]), bert)
    with pytest.raises(BadInput, match="have no layer in common"):
        compare_adapters([lora, bert])
    with pytest.raises(BadInput, match="two or more, each with a name of its own"):
        compare_adapters([lora])
    with pytest.raises(BadInput, match="1 titles for 2 adapters"):
        compare_adapters([lora, lora], titles=["a"])


def report(name, values, asked=None, dead=0, weight=None):
    d = 32
    u, v = (torch.linalg.qr(torch.randn(d, len(values), dtype=torch.float64))[0] for _ in range(2))
    left = u * torch.tensor(values, dtype=torch.float64)
    right = torch.cat([v.T, torch.zeros(dead, d, dtype=torch.float64)])
    left = torch.cat([left, torch.ones(d, dead, dtype=torch.float64)], 1)
    return measure(name, Layer(Factors(left, right), weight, None, asked or len(values) + dead), 4)


def said(*layers, **more):
    return {one.topic: one for one in findings(layers, **more)}


def test_verdict_names_the_rank_in_use():
    found = said(report("a.0.q", [10, 5, 4] + [0.1] * 13), report("a.1.q", [10, 5, 4] + [0.1] * 13))
    assert found["rank used"].text.startswith("Rank 16 asked, 90 % of the energy in 3 (medians over 2 layers")
    assert "Try rank 3 to" in found["rank used"].advice
    assert "higher rank may help" in said(report("x", [1.0] * 8))["rank used"].advice


def test_verdict_names_where_the_change_is():
    layers = [report(f"m.{i}.q", [0.1, 0.1]) for i in range(15)] + [report("m.15.up", [10.0, 10.0])]
    found = said(*layers)
    assert found["where"].text.startswith("Half of Σ‖ΔW‖² lies in 1 of 16 layers, most of it in m.15.up (100%")
    assert found["where"].advice
    assert found["kinds"].text == "By kind of layer: up 100%, q 0% of Σ‖ΔW‖²."
    assert found["norm"].text.startswith("Large norm in 1 of 16 layers: ‖ΔW‖ of m.15.up is 100 times the median")


def test_verdict_names_trouble_and_healthy_layers_have_none():
    healthy = [report(f"m.{i}.q", [1.0, 0.9, 0.8, 0.7]) for i in range(4)]
    assert not any(one.trouble for one in findings(healthy))
    zero = report("m.9.q", [0.0, 0.0, 0.0, 0.0])
    found = said(*healthy, report("m.4.q", [1.0, 0.01, 0.01, 0.01]), report("m.5.q", [1.0, 0.9], dead=2), zero)
    assert found["collapsed"].text == "Collapsed spectrum in 1 of 6 layers: m.4.q has stable rank 1.00 of 4."
    assert found["dead units"].text == "2 of 24 hidden units are dead and add nothing, most in m.5.q (2)."
    assert found["untouched"].text == "1 of 7 layers are untouched (1 with ΔW = 0 exactly), m.9.q first."
    assert all(found[topic].trouble and found[topic].advice for topic in ("collapsed", "dead units", "untouched"))
    assert [one.trouble for one in findings([*healthy, zero])] == sorted(
        one.trouble for one in findings([*healthy, zero])
    )
    assert said(zero)["untouched"].advice.startswith("The adapter has not been trained")


def test_verdict_beside_w0():
    weight = torch.randn(32, 32, dtype=torch.float64)
    found = said(report("m.0.q", [40.0, 40.0], weight=weight))
    assert found["norm"].text.startswith("Large norm in 1 of 1 layer: ‖ΔW‖ of m.0.q is")
    assert found["norm"].value == pytest.approx(40 * math.sqrt(2) / float(weight.norm()))
    assert found["intruders"].text.startswith("2 intruder dimensions")
    assert "random ΔW of the same singular values makes" in found["intruders"].text
    assert "random" in found["overlap with W₀"].text


@pytest.mark.parametrize(("random", "trouble"), [(1, True), (2, False), (3, False)])
def test_intruders_are_trouble_only_where_a_random_update_makes_fewer(random, trouble):
    layer = report("m.0.q", [40.0, 40.0], weight=torch.randn(32, 32, dtype=torch.float64))
    assert layer.against_base.intruders.count == 2
    made = Intruders(torch.zeros(random), torch.zeros(random), 0.5)
    found = said(replace(layer, against_base=replace(layer.against_base, random_intruders=made)))["intruders"]
    assert (found.trouble, bool(found.advice)) == (trouble, trouble)
    unsettled = Intruders(torch.zeros(2), torch.ones(2), 0.5)
    found = said(replace(layer, against_base=replace(layer.against_base, random_intruders=unsettled)))["intruders"]
    assert "makes 0, 2 undecided" in found.text
    assert not found.trouble


@pytest.mark.parametrize("shape", [(300, 300), (420, 280), (280, 420)])
def test_intruders_are_counted_in_layers_whose_whole_svd_is_not_known(shape):
    left, right = (torch.linalg.qr(torch.randn(side, 4))[0] for side in shape)
    weight = torch.randn(shape)
    found = measure("x", Layer(Factors(60 * left, right.T), weight)).against_base
    assert (found.intruders.count, found.intruders.undecided) == (4, 0)
    assert (found.random_intruders.count, found.random_intruders.undecided) == (4, 0)
    doubled = leading_svd(weight, 4)
    own = Factors(doubled.left * doubled.values, doubled.right.T)
    assert measure("x", Layer(own, weight)).against_base.intruders.count == 0


@pytest.mark.parametrize("thin", [True, False])
@pytest.mark.parametrize("ratio", [1e3, 1e5, 1e9])
def test_intruders_of_an_update_that_has_outgrown_w0(ratio, thin):
    """Held against a dense SVD in float64; where rounding hides W₀, undecided."""
    shape, k = (300, 270), 16
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(shape, generator=generator)
    left, right = (torch.linalg.qr(torch.randn(side, 4, generator=generator))[0] for side in shape)
    update = Factors(left * (ratio * weight.norm() / 2), right.T)
    delta = update if thin else update.dense()
    after = torch.linalg.svd(weight.double() + dense(delta))[0][:, :k]
    own = torch.linalg.svd(weight.double(), full_matrices=False)[0]
    true = torch.nonzero((own.T @ after).abs().max(dim=0).values < 0.5).flatten().tolist()
    against = measure("x", Layer(delta, weight), k).against_base.intruders
    assert set(against.indices) <= set(true) and against.count + against.undecided >= len(true)
    if ratio == 1e3 or (thin and ratio == 1e5):
        assert (against.indices, against.undecided) == (true, 0) and true == [0, 1, 2, 3]


def test_the_command_line_prints_one_document_or_a_table(bases, tmp_path, capsys):
    folder = str(trained_lora(tmp_path / "adapter"))
    assert main(["inspect", folder, "--base", str(bases / "llama"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    needed = {"name", "shape", "rank", "singular_values", "effective_rank", "stable_rank", "norm", "overlap_left"}
    assert all(needed <= set(layer) for layer in found["layers"])
    assert found["layers"][0]["rank"] == len(found["layers"][0]["singular_values"]) == 2
    assert main(["inspect", folder, str(trained_lora(tmp_path / "second", seed=4)), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["pairs"]) == 8
    page = tmp_path / "page.html"
    assert main(["inspect", folder, "--report", str(page)]) == 0
    assert "Rank 2 asked" in capsys.readouterr().out
    assert "model.layers.0.mlp.down_proj" in page.read_text()
    assert main(["inspect", folder, "--base", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip().splitlines()[-1].startswith("neatlab: ")
    assert neatlab.inspect is inspect

"""Acts on adapters of every type against dense float64 oracles, read back by PEFT."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import Tensor

import neatlab
from neatlab.adapters.factors import Factors, FactorsSvd
from neatlab.cli import main
from neatlab.editing import ACTS, parse_act
from neatlab.editing.difference import size
from neatlab.errors import BadInput
from neatlab.inspection.sources import open_source
from tests.adapters import (
    CONFIG,
    DENSE,
    LAYERS,
    SHAPES,
    SQUARE,
    TALL,
    THIN,
    TYPES,
    WIDE,
    change,
    configure,
    deltas,
    weights,
    write_adapter,
    write_base,
)

CLOSE = 2e-6  # float32 tensors, read back in float64


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return {kind: write_adapter(folder / kind, kind) for kind in TYPES}


@pytest.fixture(scope="module")
def exact(adapters) -> dict[str, dict[str, Tensor]]:
    """ΔW of each adapter as PEFT makes it."""
    return {kind: deltas(folder) for kind, folder in adapters.items()}


def truncated(delta: Tensor, rank: int) -> Tensor:
    u, s, vh = torch.linalg.svd(delta, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vh[:rank]


def without(delta: Tensor, index: int) -> Tensor:
    u, s, vh = torch.linalg.svd(delta, full_matrices=False)
    return delta - s[index] * torch.outer(u[:, index], vh[index])


def energy_rank(delta: Tensor, share: float) -> int:
    energy = torch.linalg.svdvals(delta).square()
    return int((energy.cumsum(0) < share * energy.sum()).sum()) + 1


def reduced(delta: Tensor, weight: Tensor, share: float, top_k: int, epsilon: float, rank: int) -> Tensor:
    """PEFT's reduce_intruder_dimension, transcribed."""
    u0 = torch.linalg.svd(weight)[0]
    u, s, vh = torch.linalg.svd(weight + delta, full_matrices=False)
    u0 = u0[:, : min(weight.shape)]
    cosines = (u.T @ u0).abs().max(dim=1).values
    intruders = [i for i in range(min(top_k, len(s))) if cosines[i] < epsilon]
    rest = delta + (share - 1) * sum((s[i] * torch.outer(u[:, i], vh[i]) for i in intruders), torch.zeros_like(delta))
    return truncated(rest, rank) if intruders else delta


def close(actual: Tensor, wanted: Tensor, tolerance: float = CLOSE) -> bool:
    return bool((actual - wanted).norm() <= tolerance * max(float(wanted.norm()), 1e-3))


ORACLES = {
    "compress:rank=2": lambda delta, weight: truncated(delta, 2),
    "compress:energy=0.8": lambda delta, weight: truncated(delta, energy_rank(delta, 0.8)),
    "scale:factor=-1.5": lambda delta, weight: -1.5 * delta,
    "rewind:alpha=0.8": lambda delta, weight: 0.8 * delta,
    "drop-direction:index=2": lambda delta, weight: without(delta, 1),
    "convert:to=lora": lambda delta, weight: delta,
}


def refuses(kind: str, act: str) -> bool:
    """Of types without thin factors, and of those that no tensor scales, compress comes first."""
    return kind in DENSE and (act.startswith(("drop-direction", "convert")) or kind in ("ia3", "oft"))


@pytest.mark.parametrize("act", ORACLES)
@pytest.mark.parametrize("kind", [*THIN, *DENSE])
def test_an_act_is_what_dense_algebra_says(kind, act, adapters, exact, base, tmp_path):
    acts = ["compress:energy=1", act] if refuses(kind, act) else [act]
    done = neatlab.edit(adapters[kind], acts, tmp_path / "out", base)
    after = deltas(tmp_path / "out")
    for name in LAYERS.get(kind, SHAPES):
        wanted = ORACLES[act](exact[kind][name], weights()[name])
        assert close(after[name], wanted), name
    for layer in done.layers:
        before, error = exact[kind][layer.layer], after[layer.layer] - exact[kind][layer.layer]
        assert layer.norm == pytest.approx(float(before.norm()), rel=1e-5)
        wanted_errors = (
            error.norm() / before.norm(),
            torch.linalg.matrix_norm(error, 2)
            / before.norm(p=2).new_tensor(float(torch.linalg.matrix_norm(before, 2))),
        )
        assert layer.relative_frobenius == pytest.approx(float(wanted_errors[0]), rel=1e-4, abs=1e-6)
        assert layer.relative_spectral == pytest.approx(float(wanted_errors[1]), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", DENSE)
@pytest.mark.parametrize("act", ["drop-direction:index=1", "convert:to=lora", "reduce-intruders"])
def test_what_needs_thin_factors_says_so(kind, act, adapters, base, tmp_path):
    with pytest.raises(BadInput, match="has no thin factors; put compress before it"):
        neatlab.edit(adapters[kind], [act], tmp_path / "out", base)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ACTS)
def test_every_act_has_an_example_that_plain_lora_takes(name, adapters, base, tmp_path):
    example = ACTS[name].example or f"merge:with={adapters['rslora']}"
    assert example.startswith(name)
    if ACTS[name].needs_task:
        with pytest.raises(BadInput, match="give the task too"):
            neatlab.edit(adapters["lora"], [example], tmp_path / "out", base)
        return
    neatlab.edit(adapters["lora"], [example], tmp_path / "out", base)
    assert deltas(tmp_path / "out")


@pytest.mark.parametrize("kind", ["lora", "neat", "peanut", "loha", "lokr", "hira", "miss", "fourierft"])
def test_scaling_and_choosing_layers_keep_the_type(kind, adapters, exact, base, tmp_path):
    done = neatlab.edit(adapters[kind], ["keep-layers:pattern=q", "rewind:alpha=0.25"], tmp_path / "out", base)
    assert done.type_after == done.type_before
    after = deltas(tmp_path / "out")
    assert close(after[SQUARE], 0.25 * exact[kind][SQUARE])
    assert not after[TALL].any()
    assert not after[WIDE].any()
    dropped = [layer for layer in done.layers if layer.layer != SQUARE]
    assert {(layer.rank_after, layer.parameters_after, layer.relative_frobenius) for layer in dropped} == {(0, 0, 1.0)}


@pytest.mark.parametrize("kind", ["gralora", "ia3", "oft"])
def test_choosing_layers_keeps_every_type(kind, adapters, exact, base, tmp_path):
    done = neatlab.edit(adapters[kind], ["keep-layers:pattern=*.up"], tmp_path / "out", base)
    assert done.type_after == done.type_before
    after = deltas(tmp_path / "out")
    assert close(after[TALL], exact[kind][TALL])
    assert not after[SQUARE].any()


def test_what_layers_share_is_theirs_only_while_all_are_there(adapters, exact, base, tmp_path):
    """VeRA's matrices are drawn for its largest layer."""
    assert neatlab.edit(adapters["vera"], ["scale:factor=3"], tmp_path / "all", base).type_after == "VERA"
    assert neatlab.edit(adapters["vera"], ["keep-layers:pattern=q"], tmp_path / "some", base).type_after == "LORA"
    assert close(deltas(tmp_path / "all")[SQUARE], 3 * exact["vera"][SQUARE])
    assert close(deltas(tmp_path / "some")[SQUARE], exact["vera"][SQUARE])


class TestDora:
    """V = W₀ + s·B A is what acts turn; m stays DoRA's."""

    @staticmethod
    def direction(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        from safetensors.torch import load_file

        state = {
            name.removeprefix("base_model.model."): t.double()
            for name, t in load_file(folder / "adapter_model.safetensors").items()
        }
        products = {n: 1.5 * state[f"{n}.lora_B.weight"] @ state[f"{n}.lora_A.weight"] for n in SHAPES}
        return products, {n: state[f"{n}.lora_magnitude_vector"] for n in SHAPES}

    def test_compress_cuts_the_direction(self, adapters, base, tmp_path):
        done = neatlab.edit(adapters["dora"], ["compress:rank=2"], tmp_path / "out", base)
        assert json.loads((tmp_path / "out" / CONFIG).read_text())["use_dora"]
        products, magnitudes = self.direction(adapters["dora"])
        after = deltas(tmp_path / "out")
        for name, weight in weights().items():
            V = weight + truncated(products[name], 2)
            assert close(after[name], (magnitudes[name] / V.norm(dim=1))[:, None] * V - weight)
        assert {layer.rank_after for layer in done.layers} == {2}

    @pytest.mark.parametrize("act", ["rewind:alpha=0.3", "scale:factor=0.9"])
    def test_a_share_of_its_change_is_a_dora_again(self, act, adapters, exact, base, tmp_path):
        done = neatlab.edit(adapters["dora"], [act], tmp_path / "out", base)
        share = float(act.partition("=")[2])
        after = deltas(tmp_path / "out")
        for name in SHAPES:
            assert close(after[name], share * exact["dora"][name])
        assert done.relative_frobenius == pytest.approx(1 - share, rel=1e-4)

    def test_what_no_dora_is_is_refused(self, adapters, base, tmp_path):
        for act, message in {
            "scale:factor=9": "a row of W₀ would turn round",
            "reduce-intruders": "DoRA divides each row",
            "convert:to=neat": "it stays DoRA",
            f"merge:with={adapters['lora']}": "dora is a DoRA",
        }.items():
            with pytest.raises(BadInput, match=message):
                neatlab.edit(adapters["dora"], [act], tmp_path / "out", base)
        assert not any(tmp_path.iterdir())


class TestCompress:
    @pytest.mark.parametrize("kind", ["lora", "rslora", "patterns"])
    def test_scaling_is_as_the_type_has_it(self, kind, adapters, tmp_path):
        done = neatlab.edit(adapters[kind], ["compress:energy=0.7"], tmp_path / "out")
        stored = json.loads((tmp_path / "out" / CONFIG).read_text())
        assert stored["use_rslora"] == (kind == "rslora")
        assert stored["lora_alpha"] == (6 if kind == "rslora" else stored["r"])
        ranks = {layer.layer: layer.rank_after for layer in done.layers}
        others = {name: rank for name, rank in ranks.items() if rank != stored["r"]}
        patterns = {key.removeprefix("^").replace("\\", ""): rank for key, rank in stored["rank_pattern"].items()}
        assert patterns == others
        assert stored["alpha_pattern"] == ({} if kind == "rslora" else stored["rank_pattern"])

    def test_a_budget_goes_where_the_energy_is(self, adapters, exact, tmp_path):
        budget = 200
        done = neatlab.edit(adapters["lora"], [f"compress:parameters={budget}"], tmp_path / "out")
        costs = {name: sum(shape) for name, shape in SHAPES.items()}
        assert done.parameters_after <= budget
        assert budget - done.parameters_after < max(costs.values())
        values = {name: torch.linalg.svdvals(exact["lora"][name]) for name in SHAPES}
        best = min(
            sum(float(values[n][r:].square().sum()) for n, r in zip(SHAPES, ranks, strict=True))
            for ranks in torch.cartesian_prod(*[torch.arange(1, 5)] * 3).tolist()
            if sum(costs[n] * r for n, r in zip(SHAPES, ranks, strict=True)) <= budget
        )
        spent = sum(float(values[layer.layer][layer.rank_after :].square().sum()) for layer in done.layers)
        # Greedy by density is at most one direction away from the best.
        assert spent <= best + max(float(v[1:].square().max()) for v in values.values())

    def test_thresholds_leave_what_stands_out_of_noise(self, adapters, tmp_path):
        folder = write_adapter(tmp_path / "structured")
        generator = torch.Generator().manual_seed(2)

        def structured(name: str, tensor: Tensor) -> Tensor:
            noise = 0.01 * torch.linalg.qr(torch.randn(max(tensor.shape), 4, generator=generator))[0]
            noise[:, 0] *= 30
            return (noise if tensor.shape[0] > 4 else noise.T).contiguous()

        change(folder, structured)
        for threshold in ("marchenko-pastur", "optimal"):
            done = neatlab.edit(folder, [f"compress:threshold={threshold}"], tmp_path / threshold)
            assert [layer.rank_after for layer in done.layers] == [1, 1, 1]

    def test_nothing_above_the_threshold_is_rank_0(self, adapters, tmp_path):
        folder = write_adapter(tmp_path / "flat")
        change(folder, lambda name, t: torch.eye(*t.shape))
        with pytest.raises(BadInput, match=f"leaves rank 0 in layer {SQUARE}"):
            neatlab.edit(folder, ["compress:threshold=optimal"], tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_an_untrained_layer_stays_zero(self, tmp_path):
        folder = write_adapter(tmp_path / "zero")
        change(folder, lambda name, t: torch.zeros_like(t) if "lora_B" in name else t)
        done = neatlab.edit(folder, ["compress:energy=0.9"], tmp_path / "out")
        assert {layer.rank_after for layer in done.layers} == {1}
        assert all(not delta.any() for delta in deltas(tmp_path / "out").values())
        assert done.relative_frobenius != done.relative_frobenius


@settings(max_examples=30, deadline=None)
@given(
    d_out=st.integers(1, 12),
    d_in=st.integers(1, 12),
    rank=st.integers(1, 14),
    zeros=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_thin_directions_are_those_of_the_dense_matrix(d_out, d_in, rank, zeros, seed):
    torch.manual_seed(seed)
    left, right = torch.randn(d_out, rank).double(), torch.randn(rank, d_in).double()
    left[:, :zeros] = 0
    svd, dense = FactorsSvd(Factors(left, right)), left @ right
    count = min(d_out, d_in, rank)
    assert torch.allclose(svd.values[:count], torch.linalg.svdvals(dense)[:count], atol=1e-6)
    for k in range(1, len(svd.values) + 1):
        assert torch.allclose(svd.select(slice(0, k)).dense(), truncated(dense, k), atol=1e-6)
    measured = size(Factors(left, right))
    assert measured.frobenius == pytest.approx(float(dense.norm()), abs=1e-6)
    assert measured.spectral == pytest.approx(float(torch.linalg.matrix_norm(dense, 2)), abs=1e-6)


def test_acts_are_done_in_the_order_given(adapters, exact, tmp_path):
    neatlab.edit(adapters["lora"], ["drop-direction:index=1", "compress:rank=1"], tmp_path / "one")
    neatlab.edit(adapters["lora"], ["compress:rank=2", "drop-direction:index=1,layers=q"], tmp_path / "two")
    one, two = deltas(tmp_path / "one"), deltas(tmp_path / "two")
    assert close(one[SQUARE], two[SQUARE])
    assert close(one[TALL], truncated(without(exact["lora"][TALL], 0), 1))
    assert close(two[TALL], truncated(exact["lora"][TALL], 2))


class TestConvert:
    @pytest.mark.parametrize("layer", [SQUARE, TALL, WIDE])
    def test_to_neat_where_it_is_exact(self, layer, adapters, exact, base, tmp_path):
        acts = [f"keep-layers:pattern={layer}", "convert:to=neat"]
        done = neatlab.edit(adapters["lora"], acts, tmp_path / "out", base)
        assert done.type_after == "NEAT"
        assert close(deltas(tmp_path / "out")[layer], exact["lora"][layer], 1e-4)
        assert next(row for row in done.layers if row.layer == layer).relative_frobenius < 1e-4

    def test_scaled_it_is_neat_still_and_compressed_lora_again(self, adapters, exact, base, tmp_path):
        acts = ["keep-layers:pattern=q", "convert:to=neat", "scale:factor=2"]
        assert neatlab.edit(adapters["lora"], acts, tmp_path / "neat", base).type_after == "NEAT"
        assert close(deltas(tmp_path / "neat")[SQUARE], 2 * exact["lora"][SQUARE], 1e-4)
        done = neatlab.edit(adapters["lora"], [*acts, "compress:rank=2"], tmp_path / "lora", base)
        assert done.type_after == "LORA"
        assert close(deltas(tmp_path / "lora")[SQUARE], truncated(2 * exact["lora"][SQUARE], 2), 1e-4)

    def test_where_it_is_not_it_is_refused(self, adapters, base, tmp_path):
        with pytest.raises(BadInput, match=f"{TALL} is taller than wide, {WIDE} wider than tall"):
            neatlab.edit(adapters["lora"], ["convert:to=neat"], tmp_path / "out", base)
        with pytest.raises(BadInput, match="needs W₀; give the model with --base"):
            neatlab.edit(adapters["lora"], ["keep-layers:pattern=q", "convert:to=neat"], tmp_path / "out")
        flat = tmp_path / "flat"
        write_base(flat)
        from safetensors.torch import load_file, save_file

        state = load_file(flat / "model.safetensors")
        state[f"{SQUARE}.weight"][:4] = state[f"{SQUARE}.weight"][4]
        save_file(state, flat / "model.safetensors")
        with pytest.raises(BadInput, match="too low a rank"):
            neatlab.edit(adapters["lora"], ["keep-layers:pattern=q", "convert:to=neat"], tmp_path / "out", flat)


class TestOpening:
    def test_a_zip_is_opened(self, adapters, exact, tmp_path):
        import zipfile

        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in (CONFIG, "adapter_model.safetensors"):
                archive.write(adapters["lora"] / name, f"mine/{name}")
        neatlab.edit(tmp_path / "a.zip", ["compress:rank=1"], tmp_path / "out")
        assert close(deltas(tmp_path / "out")[SQUARE], truncated(exact["lora"][SQUARE], 1))

    def test_precision_is_the_adapters_own(self, adapters, tmp_path):
        folder = write_adapter(tmp_path / "half")
        change(folder, lambda name, t: t.bfloat16())
        done = neatlab.edit(folder, ["compress:rank=2"], tmp_path / "out")
        from safetensors.torch import load_file

        assert {t.dtype for t in load_file(tmp_path / "out" / "adapter_model.safetensors").values()} == {torch.bfloat16}
        assert done.bytes_after < 0.8 * done.bytes_before

    def test_what_was_trained_whole_comes_along(self, adapters, tmp_path):
        from safetensors.torch import load_file, save_file

        folder = write_adapter(tmp_path / "headed")
        state = load_file(folder / "adapter_model.safetensors")
        head = {"base_model.model.classifier.weight": torch.randn(3, 12)}
        save_file({**state, **head}, folder / "adapter_model.safetensors")
        configure(folder, modules_to_save=["classifier"], task_type="SEQ_CLS")
        neatlab.edit(folder, ["compress:rank=2"], tmp_path / "out")
        written = load_file(tmp_path / "out" / "adapter_model.safetensors")
        assert all(torch.equal(written[name], tensor) for name, tensor in head.items())
        stored = json.loads((tmp_path / "out" / CONFIG).read_text())
        assert (stored["modules_to_save"], stored["task_type"]) == (["classifier"], "SEQ_CLS")

    def test_names_of_few_layers_name_no_other(self, tmp_path):
        """A layer whose whole name is the end of another's is named by an expression that matches it alone."""
        folder = write_adapter(tmp_path / "nested")
        rename = {SQUARE: "q", TALL: "inner.q"}
        from safetensors.torch import load_file, save_file

        state = load_file(folder / "adapter_model.safetensors")
        for old, new in rename.items():
            state = {name.replace(old + ".", new + "."): tensor for name, tensor in state.items()}
        save_file(state, folder / "adapter_model.safetensors")
        neatlab.edit(folder, ["keep-layers:pattern=*down+inner.q", "keep-layers:pattern=inner.q"], tmp_path / "inner")
        assert json.loads((tmp_path / "inner" / CONFIG).read_text())["target_modules"] == ["inner.q"]
        neatlab.edit(folder, ["keep-layers:pattern=[q]"], tmp_path / "outer")
        assert json.loads((tmp_path / "outer" / CONFIG).read_text())["target_modules"] == "q"


class TestCommandLine:
    def test_the_table_and_the_document_say_the_same(self, adapters, tmp_path, capsys):
        words = ["edit", str(adapters["lora"]), "--act", "compress:rank=2", "--act", "scale:factor=0.5"]
        assert main([*words, "--out", str(tmp_path / "one"), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert main([*words, "--out", str(tmp_path / "two")]) == 0
        text = capsys.readouterr().out
        assert document["acts"] == ["compress:rank=2", "scale:factor=0.5"]
        assert f"{document['parameters_before']:,} → {document['parameters_after']:,} parameters" in text
        assert all(f"{layer['relative_frobenius']:.2g}" in text for layer in document["layers"])
        assert document["bytes_after"] == (tmp_path / "one" / "adapter_model.safetensors").stat().st_size

    def test_refusals_are_one_line(self, adapters, tmp_path, capsys):
        words = ["edit", str(adapters["lora"]), "--out", str(tmp_path / "out")]
        assert main([*words, "--act", "compres:rank=2"]) == 2
        assert capsys.readouterr().err == (
            "neatlab: unknown act 'compres'; allowed: compress, convert, drop-direction, keep-layers, merge, "
            "reduce-intruders, reweight, rewind, scale; did you mean 'compress'?\n"
        )
        assert main(words) == 2
        assert "no act is given; such as --act compress:rank=2" in capsys.readouterr().err


def test_an_act_is_written_as_an_arm_is():
    act = parse_act(" reduce-intruders:lambda=0.5,top_k=3 ")
    assert (act.text, act.options.model_dump()) == (
        "reduce-intruders:lambda=0.5,top_k=3",
        {"share": 0.5, "top_k": 3, "epsilon": 0.5},
    )


@pytest.mark.parametrize("rslora", [False, True])
def test_pefts_convolutions_are_matrices_with_their_kernels_in_one_side(rslora, tmp_path):
    def model() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.ModuleDict({"conv": torch.nn.Conv2d(3, 6, 3), "line": torch.nn.Conv1d(4, 5, 2)})

    def delta(folder: Path) -> dict[str, Tensor]:
        after = PeftModel.from_pretrained(model(), str(folder)).merge_and_unload().state_dict()
        return {name: (after[f"{name}.weight"] - model()[name].weight).detach().flatten(1) for name in ("conv", "line")}

    save_file(model().state_dict(), tmp_path / "model.safetensors")
    config = LoraConfig(r=3, lora_alpha=5, use_rslora=rslora, init_lora_weights=False, target_modules=["conv", "line"])
    get_peft_model(model(), config).save_pretrained(str(tmp_path / "lora"))
    expected, source = delta(tmp_path / "lora"), open_source(tmp_path / "lora", tmp_path / "model.safetensors")
    for name, wanted in expected.items():
        read = source.read(name)
        assert torch.allclose(read.delta.dense(), wanted, atol=1e-6)
        assert torch.equal(read.weight, model()[name].weight.flatten(1))
    acts = {"compress:rank=2": lambda d: truncated(d, 2), "rewind:alpha=0.5": lambda d: d / 2}
    for index, (act, oracle) in enumerate(acts.items()):
        neatlab.edit(tmp_path / "lora", [act], tmp_path / str(index))
        for name, after in delta(tmp_path / str(index)).items():
            assert torch.allclose(after, oracle(expected[name]), atol=1e-5), (act, name)
    with pytest.raises(BadInput, match="conv is a convolution; put keep-layers before it"):
        neatlab.edit(tmp_path / "lora", ["convert:to=neat"], tmp_path / "no", tmp_path / "model.safetensors")

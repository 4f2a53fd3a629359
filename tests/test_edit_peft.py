"""Acts beside PEFT's own functions on the same adapters, and acts that join several."""

import copy
import warnings
from pathlib import Path
from zlib import crc32

import pytest
import torch
from peft import PeftModel, get_peft_model
from peft.tuners.lora.conversion import save_as_lora
from peft.tuners.lora.intruders import reduce_intruder_dimension
from peft.utils import merge_utils
from torch import Tensor

import neatlab
from neatlab.adapters.attach import quiet_peft
from neatlab.errors import BadInput
from tests.adapters import (
    SHAPES,
    SQUARE,
    TALL,
    TYPES,
    base_model,
    change,
    configure,
    deltas,
    draw,
    weights,
    write_adapter,
    write_base,
)
from tests.test_edit import close, reduced, truncated


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("two")
    return [write_adapter(folder / name, kind, seed) for name, kind, seed in (("a", "lora", 1), ("b", "patterns", 2))]


def loaded(folder: Path) -> PeftModel:
    with quiet_peft():
        return PeftModel.from_pretrained(base_model(), str(folder))


@pytest.mark.parametrize("kind", ["lora", "rslora", "loha", "lokr"])
@pytest.mark.parametrize(("rank", "act"), [(2, "compress:rank=2"), (0.8, "compress:energy=0.8")])
def test_compress_is_at_least_as_exact_as_pefts_conversion(kind, rank, act, base, tmp_path):
    folder = write_adapter(tmp_path / kind, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_as_lora(tmp_path / "theirs", loaded(folder), rank)
    neatlab.edit(folder, [act], tmp_path / "ours", base)
    exact, theirs, ours = deltas(folder), deltas(tmp_path / "theirs"), deltas(tmp_path / "ours")
    for name in SHAPES:
        best = truncated(exact[name], int(torch.linalg.matrix_rank(ours[name])))
        assert torch.linalg.matrix_rank(ours[name]) == torch.linalg.matrix_rank(theirs[name])
        error = (ours[name] - best).norm()
        assert error <= (theirs[name] - best).norm() + 1e-7 * best.norm()


def loud(folder: Path) -> None:
    """ΔW as large as W₀, so that there are intruders."""
    change(folder, lambda name, t: t * 1.5)


class TestIntruders:
    @pytest.mark.parametrize("share", [0.0, 0.25, 0.75, 1.0])
    @pytest.mark.parametrize("epsilon", [0.5, 0.8])
    def test_as_pefts_own_function(self, share, epsilon, base, tmp_path):
        folder = write_adapter(tmp_path / "lora")
        loud(folder)
        model = loaded(folder)
        settings = {"top_k": 6, "threshold_epsilon": epsilon, "mitigation_lambda": share, "logging_sink": None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reduce_intruder_dimension(model, **settings)
        act = f"reduce-intruders:lambda={share},top_k=6,epsilon={epsilon}"
        neatlab.edit(folder, [act], tmp_path / "out", base)
        exact, ours = deltas(folder), deltas(tmp_path / "out")
        changed = 0
        for name in SHAPES:
            layer = model.get_submodule(f"base_model.model.{name}")
            wanted = reduced(exact[name], weights()[name], share, 6, epsilon, 4)
            assert close(ours[name], wanted, 1e-5)
            assert close(ours[name], layer.get_delta_weight("intruder_reduced").detach().double(), 1e-4)
            changed += not close(ours[name], exact[name], 1e-3)
        assert (changed > 0) == (share < 1)

    @pytest.mark.parametrize("size", [1.0, 400.0, 1e4, 1e8])
    def test_a_layer_above_the_size_of_a_full_svd(self, size, tmp_path):
        """Lanczos on the Gram matrix, in float64 where ΔW outgrows W₀; refused where that loses W₀ too."""
        from safetensors.torch import save_file

        torch.manual_seed(0)
        weight = torch.randn(300, 280) / 17
        left, right = torch.randn(300, 3), torch.randn(3, 280)
        folder = write_adapter(tmp_path / "lora")
        configure(folder, target_modules=["q"], r=3, lora_alpha=3)
        prefix = f"base_model.model.{SQUARE}.lora_"
        factor = size * float(weight.norm()) / float((left @ right).norm())
        save_file(
            {f"{prefix}A.weight": right, f"{prefix}B.weight": left * factor}, folder / "adapter_model.safetensors"
        )
        delta = (left * factor).double() @ right.double()
        (tmp_path / "base").mkdir()
        save_file({f"{SQUARE}.weight": weight}, tmp_path / "base" / "model.safetensors")
        if size == 1e8:
            with pytest.raises(BadInput, match="3 directions are more than rounding beside the first; give top_k=3"):
                neatlab.edit(folder, ["reduce-intruders:lambda=0"], tmp_path / "out", tmp_path / "base")
            return
        done = neatlab.edit(folder, ["reduce-intruders:lambda=0"], tmp_path / "out", tmp_path / "base")
        from safetensors.torch import load_file

        written = load_file(tmp_path / "out" / "adapter_model.safetensors")
        ours = written[f"{prefix}B.weight"].double() @ written[f"{prefix}A.weight"].double()
        wanted = reduced(delta, weight.double(), 0.0, 10, 0.5, 3)
        assert close(ours, wanted, 1e-3)
        assert done.relative_frobenius > 0.5


class TestMerge:
    def test_a_weighted_sum_is_exact_at_the_summed_rank(self, two, tmp_path):
        act = f"merge:with={two[1]},weights=0.7+-0.4"
        done = neatlab.edit(two[0], [act], tmp_path / "out")
        one, other, after = (deltas(folder) for folder in (*two, tmp_path / "out"))
        for name in SHAPES:
            assert close(after[name], 0.7 * one[name] - 0.4 * other[name])
        assert {layer.layer: layer.rank_after for layer in done.layers} == {
            name: 8 if name != TALL else 7 for name in SHAPES
        }
        assert done.relative_frobenius < 1e-6

    def test_cut_to_a_rank_it_is_the_best_of_that_rank(self, two, tmp_path):
        for combination in ("cat", "svd"):
            act = f"merge:with={two[1]},rank=3,combination={combination}"
            done = neatlab.edit(two[0], [act], tmp_path / combination)
            one, other, after = (deltas(folder) for folder in (*two, tmp_path / combination))
            for layer in done.layers:
                total = one[layer.layer] + other[layer.layer]
                assert close(after[layer.layer], truncated(total, 3))
                error = (total - truncated(total, 3)).norm() / total.norm()
                assert layer.relative_frobenius == pytest.approx(float(error), rel=1e-4)

    def test_as_pefts_weighted_adapters(self, two, tmp_path):
        model = loaded(two[0])
        model.load_adapter(str(two[1]), "other")
        for combination in ("cat", "svd", "ties_svd", "magnitude_prune_svd"):
            settings = {} if combination in ("cat", "svd") else {"density": 0.4}
            rank = {} if combination == "cat" else {"svd_rank": 4}
            model.add_weighted_adapter(
                ["default", "other"], [0.6, 0.9], combination, combination_type=combination, **settings, **rank
            )
            act = f"merge:with={two[1]},weights=0.6+0.9,combination={combination}"
            act += ",density=0.4" * bool(settings) + ",rank=4" * bool(rank)
            neatlab.edit(two[0], [act], tmp_path / combination)
            after = deltas(tmp_path / combination)
            for name in SHAPES:
                layer = model.get_submodule(f"base_model.model.{name}")
                assert close(after[name], layer.get_delta_weight(combination).detach().double(), 1e-4), combination

    @pytest.mark.parametrize("combination", ["dare_linear", "dare_ties"])
    def test_dare_drops_what_its_seed_says(self, combination, two, tmp_path):
        act = f"merge:with={two[1]},combination={combination}_svd,rank=12,density=0.5,seed=3"
        neatlab.edit(two[0], [act], tmp_path / "out")
        one, other, after = (deltas(folder) for folder in (*two, tmp_path / "out"))
        for name in SHAPES:
            torch.manual_seed(3 ^ crc32(name.encode()))
            wanted = getattr(merge_utils, combination)([one[name].float(), other[name].float()], torch.ones(2), 0.5)
            assert close(after[name], wanted.double(), 1e-4)

    def test_types_are_mixed_and_layers_united(self, two, base, tmp_path):
        few = tmp_path / "few"
        neatlab.edit(two[0], ["keep-layers:pattern=q"], few)
        neat = write_adapter(tmp_path / "neat", "neat", 3)
        neatlab.edit(few, [f"merge:with={neat}+{two[1]},weights=1+0.5+2"], tmp_path / "out", base)
        first, second, third, after = (deltas(folder) for folder in (few, neat, two[1], tmp_path / "out"))
        for name in SHAPES:
            assert close(after[name], first[name] + 0.5 * second[name] + 2 * third[name])

    def test_what_does_not_belong_together_is_refused(self, two, base, tmp_path):
        other = write_adapter(tmp_path / "other")

        def grown(name: str, t: Tensor) -> Tensor:
            return torch.randn(4, 13) if name.endswith(f"{TALL}.lora_A.weight") else t

        change(other, grown)
        elsewhere = write_adapter(tmp_path / "elsewhere")
        change(elsewhere, lambda name, t: t)
        configure(elsewhere, base_model_name_or_path="another/model")
        named = write_adapter(tmp_path / "named")
        configure(named, base_model_name_or_path="a/model")
        apart = tmp_path / "apart"
        neatlab.edit(two[1], ["keep-layers:pattern=q"], apart)
        few = tmp_path / "few"
        neatlab.edit(two[0], ["keep-layers:pattern=up"], few)
        loha = write_adapter(tmp_path / "loha", "loha")
        cases = [
            (two[0], f"with={other}", f"not of one base: layer {TALL} is 20 × 12 in one and 20 × 13 in the other"),
            (named, f"with={elsewhere}", "one was trained on 'a/model', the other on 'another/model'"),
            (few, f"with={apart}", f"share no layer: {SQUARE} is not in the first"),
            (two[0], f"with={loha}", "ΔW of the LOHA adapter loha has no thin factors"),
            (two[0], f"with={two[1]},weights=1", r"weights='1'; one for each of the 2 adapters, such as 0.5\+0.5"),
            (two[0], f"with={two[1]},weights=1+x", "one for each of the 2 adapters"),
            (two[0], f"with={two[1]},combination=ties_svd", "combination=ties_svd needs rank="),
            (two[0], f"with={tmp_path / 'nowhere'}", "is neither a folder, a file nor the id of a run"),
        ]
        for adapter, options, message in cases:
            with pytest.raises(BadInput, match=message):
                neatlab.edit(adapter, [f"merge:{options}"], tmp_path / "out")
        assert not (tmp_path / "out").exists()
        neatlab.edit(named, [f"merge:with={elsewhere}"], tmp_path / "out", base)


def test_many_layers_and_types_load_as_they_are_written(tmp_path):
    """Every type of TYPES, twice edited, is a folder that PEFT opens again."""
    base = write_base(tmp_path / "base")
    for kind in TYPES:
        folder = write_adapter(tmp_path / kind, kind, 7)
        once = tmp_path / f"{kind}-once"
        neatlab.edit(folder, ["compress:rank=3"], once, base)
        neatlab.edit(once, ["compress:rank=2", "scale:factor=0.5"], tmp_path / f"{kind}-twice", base)
        with quiet_peft():
            model = get_peft_model(copy.deepcopy(base_model()), TYPES[kind]())
        draw(model, 7)
        assert set(deltas(tmp_path / f"{kind}-twice")) == set(SHAPES)

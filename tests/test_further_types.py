"""Types of PEFT that no method trains: opened as PEFT merges them, or closed with the reason."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from peft import PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.boft import layer
from safetensors.torch import load_file, save_file

import neatlab
from neatlab.adapters.attach import quiet_peft
from neatlab.adapters.factors import Factors
from neatlab.errors import BadInput
from neatlab.inspection.adapter_folder import read_adapter
from neatlab.inspection.adapter_types import ADAPTER_TYPES
from neatlab.inspection.further import CLOSED, FURTHER
from neatlab.inspection.sources import open_source
from tests.adapters import CONFIG, SHAPES, TENSORS, base_model, configure, draw, write_base

ALL = ["q", "up", "down"]


def config(name: str, **settings: Any) -> Callable[[], Any]:
    return lambda: getattr(peft, name)(target_modules=ALL, **settings)


TYPES = {
    "adalora": config("AdaLoraConfig", init_r=3, target_r=2, total_step=10, lora_alpha=5),
    "boft": config("BOFTConfig", boft_block_size=2, boft_n_butterfly_factor=2),
    "c3a": config("C3AConfig", block_size=4),
    "deft": config("DeftConfig", r=2, alpha=3, decomposition_method="qr"),
    "deft relu": config("DeftConfig", r=2),
    "deft para": config("DeftConfig", r=2, para=True),
    "delora": config("DeloraConfig", r=3),
    "hra": config("HRAConfig", r=3),
    "hra gs": config("HRAConfig", r=2, apply_GS=True),
    "osf": config("OSFConfig", effective_rank=9),
    "psoft": config("PsoftConfig", r=4, psoft_alpha=6),
    "pvera": config("PveraConfig", r=3),
    "randlora": config("RandLoraConfig", r=5, randlora_alpha=10),
    "shira": config("ShiraConfig", r=2),
    "supertuning": config("SupertuningConfig", sparsity=0.8),
    "supertuning lora": config("SupertuningConfig", sparsity=0.8, r=2),
    "tinylora": config("TinyLoraConfig", r=2, u=4),
    "tinylora tied": config("TinyLoraConfig", r=2, u=4, weight_tying=0.4),
    "unilora": config("UniLoraConfig", r=2, theta_d_length=9, save_indices=True),
    "vblora": config("VBLoRAConfig", r=2, num_vectors=7, vector_length=4, topk=2),
    "vblora topk": config("VBLoRAConfig", r=2, num_vectors=7, vector_length=4, topk=2, save_only_topk_weights=True),
    "waveft": config("WaveFTConfig", n_frequency=30),
    "waveft shared out": config("WaveFTConfig", n_frequency=30, proportional_parameters=True, wavelet_family="db2"),
}


def write(folder, kind):
    with quiet_peft(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(3)
        model = get_peft_model(base_model(), TYPES[kind]())
        draw(model, 2)
        model.save_pretrained(str(folder))
    return folder


def merged(folder):
    with quiet_peft(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after = PeftModel.from_pretrained(base_model(), str(folder)).merge_and_unload().state_dict()
    before = base_model().state_dict()
    return {name: after[f"{name}.weight"] - before[f"{name}.weight"] for name in SHAPES}


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    """PEFT looks for one wherever it builds a BOFT layer."""
    monkeypatch.setattr(layer, "get_fbd_cuda", lambda: None)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("kind", TYPES)
def test_a_type_is_what_peft_merges_and_is_edited_as_lora(kind, base, tmp_path):
    folder = write(tmp_path / "adapter", kind)
    expected, source = merged(folder), open_source(folder, base)
    assert set(source.layers) == set(SHAPES) and not source.trained_whole and not source.left_out
    for name in SHAPES:
        delta = source.read(name).delta
        assert isinstance(delta, Factors) == FURTHER[source.method].thin
        dense = delta.dense() if isinstance(delta, Factors) else delta
        assert expected[name].norm() > 1e-3
        assert torch.allclose(dense, expected[name], atol=3e-6 * max(1, float(expected[name].abs().max()))), name
    done = neatlab.edit(folder, ["compress:rank=2"], tmp_path / "lora", base)
    assert done.type_after == "LORA"
    for name, delta in merged(tmp_path / "lora").items():
        u, s, vh = torch.linalg.svd(expected[name])
        assert torch.allclose(delta, (u[:, :2] * s[:2]) @ vh[:2], atol=1e-4 * float(s[0])), name


@pytest.mark.parametrize("kind", TYPES)
def test_half_precision_is_computed_in_float32(kind, base, tmp_path):
    folder = write(tmp_path, kind)
    before = open_source(folder, base)
    halved = {n: t.bfloat16() if t.is_floating_point() else t for n, t in load_file(folder / TENSORS).items()}
    save_file(halved, folder / TENSORS)
    after = open_source(folder, base)
    for name in SHAPES:
        one, other = (source.read(name).delta for source in (before, after))
        one, other = (delta.dense() if isinstance(delta, Factors) else delta for delta in (one, other))
        assert other.dtype == torch.float32 and (one - other).norm() < 0.03 * one.norm(), name


def test_every_type_of_peft_is_opened_or_closed_with_its_reason():
    registered = {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    assert registered == {*ADAPTER_TYPES, *CLOSED} & registered
    assert not {*ADAPTER_TYPES} & {*CLOSED} and {kind.split()[0].upper() for kind in TYPES} == {*FURTHER}


def test_a_closed_type_says_why(tmp_path):
    (tmp_path / CONFIG).write_text(json.dumps({"peft_type": "LILY"}))
    with pytest.raises(BadInput, match="LILY adapter cannot be computed: what it adds is mixed anew for every input"):
        read_adapter(tmp_path)


WRONG = {
    "unilora": ({"save_indices": False}, None, "save_indices=False: which numbers a layer has"),
    "pvera": ({"save_projection": False}, None, "save_projection=False: the frozen matrices are not in the file"),
    "adalora": ({"lora_alpha": "loud"}, None, "layer .*: lora_alpha='loud' is no number"),
    "vblora": ({"vector_length": 10**9}, None, "vector_length=1000000000, but no tensor has a side above"),
    "shira": ({}, ("shira_indices", lambda t: t + 1000), "layer .*: its tensors make no ΔW"),
    "supertuning": ({}, ("supertuning_indices", lambda t: t - 10**6), "layer .*: its tensors make no ΔW"),
    "tinylora": ({"projection_seed": 7}, None, "no seed of this adapter gives the layer's projection"),
    "hra": ({}, ("hra_u", lambda t: t[:5].clone()), "layer .*: its tensors make no ΔW"),
    "osf": ({}, ("S_low", lambda t: None), "layer .*: this OSF adapter has no tensor"),
    "randlora": ({}, ("randlora_gamma", lambda t: t[:1].clone()), "1 bases of rank 5; 12 directions take another"),
    "waveft": ({"wavelet_family": "haarlem"}, None, "Wavelet family haarlem not supported"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_fit_is_one_clear_line(kind, base, tmp_path):
    settings, tensors, message = WRONG[kind]
    folder = write(tmp_path / "adapter", kind)
    configure(folder, **settings)
    if tensors is not None:
        part, work = tensors
        changed = {n: work(t) if n.endswith(part) else t for n, t in load_file(folder / TENSORS).items()}
        save_file({n: t for n, t in changed.items() if t is not None}, folder / TENSORS)
    with pytest.raises(BadInput, match=message) as refusal:
        neatlab.inspect(folder, base)
    assert "\n" not in str(refusal.value)


def test_tinyloras_vectors_follow_the_models_order_that_no_file_tells(tmp_path):
    def model():
        torch.manual_seed(1)
        return torch.nn.ModuleDict({"z": torch.nn.Linear(6, 6), "a": torch.nn.Linear(6, 5)})

    save_file(model().state_dict(), tmp_path / "model.safetensors")
    with quiet_peft():
        adapted = get_peft_model(model(), peft.TinyLoraConfig(r=2, u=3, target_modules=["z", "a"]))
        draw(adapted, 4)
        adapted.save_pretrained(str(tmp_path / "adapter"))
        after = adapted.merge_and_unload().state_dict()
    source = open_source(tmp_path / "adapter", tmp_path / "model.safetensors")
    for name in "za":
        expected = after[f"{name}.weight"] - model().state_dict()[f"{name}.weight"]
        assert torch.allclose(source.read(name).delta.dense(), expected, atol=1e-6)

"""What is not an adapter, or means harm, is refused with a message that says why, and leaves nothing behind."""

import io
import json
import pickle
import struct
import tempfile
import zipfile

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from neatlab import NeatConfig, inspect
from neatlab.adapters.attach import quiet_peft
from neatlab.errors import BadInput
from neatlab.inspection import allowed_folder, open_upload
from neatlab.inspection.uploads import MAX_MEMBERS
from tests.models import MODELS

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
LLAMA = MODELS["llama"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    LLAMA.build().save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "adapter"
    with quiet_peft():
        model = get_peft_model(LLAMA.build(), LoraConfig(r=2, target_modules=LLAMA.targets))
    model.save_pretrained(folder)
    change(folder, lambda name, t: torch.randn_like(t))
    return folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The only folder that temporary files may go to."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def change(folder, work):
    tensors = load_file(folder / TENSORS)
    changed = {name: work(name, tensor) for name, tensor in tensors.items()}
    save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, folder / TENSORS)


def configure(folder, **settings):
    found = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(found | settings))


def refused(folder, message, **options):
    with pytest.raises(BadInput, match=message) as caught:
        inspect(folder, **options)
    assert "\n" not in str(caught.value)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was opened')",))


def test_pickled_weights_are_refused_unopened(adapter, tmp_path):
    (adapter / TENSORS).unlink()
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    refused(adapter, "adapter_model.bin holds pickled weights, which can run code when opened")
    (adapter / TENSORS).write_bytes(pickle.dumps(Bomb()))
    refused(adapter, "adapter_model.safetensors is not a whole safetensors file")
    before = tmp_path / "before"
    before.mkdir()
    (before / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    refused(adapter.parent, "pytorch_model.bin holds pickled", base=before)


def with_header(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


LIES = {
    "longer than the file": struct.pack("<Q", 2**40) + b"{}",
    "no JSON": struct.pack("<Q", 4) + b"oops",
    "empty": b"",
    "offsets beyond the end": with_header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"1234"),
    "a shape that its bytes do not fill": with_header(
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}, b"1234"
    ),
    "overlapping tensors": with_header(
        {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}, b"1234"
    ),
    "an unknown type": with_header({"a": {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lying_header_is_refused(adapter, base, tmp_path, lie):
    whole = (adapter / TENSORS).read_bytes()
    (adapter / TENSORS).write_bytes(lie)
    refused(adapter, "adapter_model.safetensors is not a whole safetensors file")
    (adapter / TENSORS).write_bytes(whole)
    (tmp_path / "model.safetensors").write_bytes(lie)
    refused(adapter, "model.safetensors is not a whole safetensors file", base=tmp_path)


def test_a_torn_file_is_refused(adapter):
    whole = (adapter / TENSORS).read_bytes()
    (adapter / TENSORS).write_bytes(whole[: len(whole) // 2])
    refused(adapter, "download or save it again")


def test_another_model_is_refused_by_its_first_layer(adapter, tmp_path):
    MODELS["bert"].build().save_pretrained(tmp_path / "bert")
    refused(adapter, r"do not fit: layer model\.layers\.0\.mlp\.down_proj .* is not in", base=tmp_path / "bert")


def test_another_size_is_refused_by_its_first_layer(adapter, tmp_path):
    model = LLAMA.build()
    for name in ("layers.0.mlp.up_proj", "layers.1.mlp.up_proj"):
        model.model.get_submodule(name).weight = torch.nn.Parameter(torch.randn(32, 20))
    model.save_pretrained(tmp_path / "wide")
    message = r"layer model\.layers\.0\.mlp\.up_proj is 32 × 16 in the adapter and 32 × 20 in the base"
    refused(adapter, message, base=tmp_path / "wide")


def test_an_adapter_that_tells_no_shapes_is_held_against_the_base_too(tmp_path):
    with quiet_peft():
        get_peft_model(LLAMA.build(), NeatConfig(r=2, target_modules=["up_proj"])).save_pretrained(tmp_path / "neat")
    model = LLAMA.build()
    model.model.layers[1].mlp.up_proj.weight = torch.nn.Parameter(torch.randn(20, 16))
    model.save_pretrained(tmp_path / "base")
    message = r"do not fit: neat_theta\.0 of layer model\.layers\.1\.mlp\.up_proj is 2 × 32; .* ask for 2 × 20"
    refused(tmp_path / "neat", message, base=tmp_path / "base")


def test_a_checkpoint_of_another_size_is_refused_by_its_first_layer(base, tmp_path):
    model = LLAMA.build()
    model.lm_head.weight = torch.nn.Parameter(torch.randn(20, 16))
    model.save_pretrained(tmp_path)
    refused(tmp_path, r"layer lm_head is 20 × 16 .* and 24 × 16 .* that training began from", base=base)


def test_quantised_weights_are_refused(adapter, tmp_path):
    change(adapter, lambda name, t: t.to(torch.float8_e4m3fn))
    refused(adapter, r"holds torch\.float8_e4m3fn; quantised weights cannot be read")
    change(adapter, lambda name, t: torch.randn(t.shape))
    whole = LLAMA.build().state_dict()
    save_file({n: (10 * t).to(torch.int8) for n, t in whole.items()}, tmp_path / "model.safetensors")
    refused(adapter, r"holds torch\.int8; quantised weights cannot be read", base=tmp_path)


def test_nan_is_named(adapter, base):
    name = next(name for name in load_file(adapter / TENSORS) if "layers.1" in name)

    def spoil(own, tensor):
        if own == name:
            tensor[0, 0], tensor[1, 1] = float("nan"), float("inf")
        return tensor

    change(adapter, spoil)
    refused(adapter, rf"{name} holds 2 values that are NaN or infinite, of 64")


def test_nan_in_the_base_is_named(adapter, tmp_path):
    model = LLAMA.build()
    model.model.layers[0].mlp.down_proj.weight.data[0, 0] = float("nan")
    model.save_pretrained(tmp_path / "base")
    refused(adapter, r"base's model\.layers\.0\.mlp\.down_proj\.weight holds NaN", base=tmp_path / "base")


def test_an_update_that_overflows_is_named(adapter):
    configure(adapter, lora_alpha=10**39)
    refused(adapter, r"ΔW of layer model\.layers\.0\.mlp\.down_proj is not finite")


def test_a_rank_0_layer_is_left_out_and_said(adapter):
    empty = "model.layers.0.mlp.down_proj"
    change(adapter, lambda name, t: t if empty not in name else t[:0] if "lora_A" in name else t[:, :0].contiguous())
    found = inspect(adapter)
    assert empty not in [layer.name for layer in found.layers]
    assert found.left_out[empty].startswith("rank 0")
    assert any("rank 0" in str(one) for one in found.verdict())


def test_nothing_but_rank_0_is_refused(adapter):
    change(adapter, lambda name, t: t[:0] if "lora_A" in name else t[:, :0].contiguous())
    refused(adapter, "holds no tensors of a LORA adapter on a linear layer; model.*rank 0")


def test_a_zero_update_is_a_note_not_a_crash(adapter, base):
    change(adapter, lambda name, t: t if "lora_A" in name else torch.zeros_like(t))
    found = inspect(adapter, base)
    assert all(layer.note == "ΔW = 0, so it has no directions" for layer in found.layers)
    (untouched,) = found.verdict()
    assert untouched.text.startswith("8 of 8 layers are untouched")
    assert json.loads(json.dumps(found.to_dict()))["layers"][0]["norm"] == 0


CONFIGS = [
    ({"peft_type": "LORAX"}, r"unknown adapter type 'LORAX'; allowed: .*did you mean 'LORA'"),
    ({"peft_type": ["LORA"]}, "unknown adapter type"),
    ({"peft_type": "PROMPT_TUNING"}, "PROMPT_TUNING adapter cannot be computed: it changes inputs"),
    ({"r": 10**12}, r"r=1000000000000, but no tensor has a side above 32"),
    ({"r": "8"}, "r=8, but"),
    ({"r": 3}, r"lora_A\.weight of layer .* is 2 × 32; .* ask for 3 × 32"),
    ({"rank_pattern": {"(a+)+$": 2}}, r"rank_pattern has the key '\(a\+\)\+\$'"),
    ({"rank_pattern": {"q_proj": 10**9}}, r"rank_pattern\['q_proj'\]=1000000000, but"),
    ({"rank_pattern": [1]}, "rank_pattern is no object"),
    ({"megatron_config": {"x": 1}, "megatron_core": "antigravity"}, "sets megatron_config="),
    ({"layer_replication": [[0, 1]]}, "sets layer_replication="),
    ({"init_lora_weights": "loftq"}, "changed W₀ itself"),
    ({"lora_alpha": "loud"}, "PEFT cannot build this adapter|adapter_config.json"),
]


@pytest.mark.parametrize(("settings", "message"), CONFIGS, ids=[str(settings) for settings, _ in CONFIGS])
def test_a_configuration_that_lies_is_refused(adapter, settings, message):
    configure(adapter, **settings)
    refused(adapter, message)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not readable JSON"), ("[]", "no JSON object"), (" " * 2**25, "has 33,554,432 bytes")]
)
def test_a_configuration_that_is_none_is_refused(adapter, text, message):
    (adapter / CONFIG).write_text(text)
    refused(adapter, message)


def test_tensors_of_no_adapter_are_refused(adapter):
    tensors = load_file(adapter / TENSORS)
    name = next(iter(tensors))
    save_file(tensors | {name.replace("lora_A", "lora_C"): torch.ones(1)}, adapter / TENSORS)
    refused(adapter, r"tensor lora_C\.weight belongs to no such adapter")


def test_what_is_not_there_is_said(adapter, base, tmp_path):
    refused(tmp_path / "nowhere", "does not exist")
    refused(base, "holds no adapter_config.json and no LoRA file; for a checkpoint trained whole give the one before")
    refused(adapter, "neither a folder nor a model in the local hub cache", base="no/such-model")
    refused(adapter, "neither a folder nor a model", base="../no such model?")
    refused(adapter, "directions=-1; allowed: 0 to 256", directions=-1)
    (adapter / TENSORS).unlink()
    refused(adapter, "has adapter_config.json but no adapter_model.safetensors")


@pytest.mark.parametrize("name", ["../escape.safetensors", "/etc/passwd", "model.bin"])
def test_a_base_index_names_only_files_beside_it(adapter, tmp_path, name):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    refused(adapter, "allowed: safetensors files beside it", base=tmp_path)


def test_a_missing_shard_is_named(adapter, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "s.safetensors"}}))
    refused(adapter, "names s.safetensors, which is missing", base=tmp_path)


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return path


def files_of(adapter, prefix=""):
    return [(f"{prefix}{name}", (adapter / name).read_bytes()) for name in (CONFIG, TENSORS)]


def test_uploads_are_opened_and_gone_after(adapter, temporary, tmp_path):
    plain = [vars(one) for one in inspect(adapter).verdict()]
    nested = archive(
        tmp_path / "a.zip", [*files_of(adapter, "deep/down/"), ("deep/README.md", "hello"), ("x/", ""), ("./", "")]
    )
    for upload in (nested, str(nested), [adapter / CONFIG, adapter / TENSORS]):
        with open_upload(upload) as folder:
            assert [vars(one) for one in inspect(folder).verdict()] == plain
            assert sorted(p.name for p in folder.iterdir()) == sorted([CONFIG, TENSORS])
            assert folder.is_relative_to(temporary)
        assert list(temporary.iterdir()) == []


def link(name):
    found = zipfile.ZipInfo(name)
    found.external_attr = 0o120777 << 16
    return found


TRICKS = {
    "out of the folder": ([("../../evil", b"x")], "leads out of its folder"),
    "absolute": ([("/etc/cron.d/evil", b"x")], "leads out of its folder"),
    "another system's": ([("..\\evil", b"x"), ("C:\\evil", b"x")], "leads out of its folder"),
    "a link": ([(link("somewhere"), b"/etc/passwd")], "holds a link"),
    "two adapters": ([("other/adapter_config.json", b"{}")], "holds 2 adapters"),
    "many files": ([(f"f{i}", b"") for i in range(MAX_MEMBERS)], "holds 1,002 files"),
}


@pytest.mark.parametrize(("members", "message"), TRICKS.values(), ids=TRICKS)
def test_a_zip_with_tricks_is_refused(adapter, temporary, tmp_path, members, message):
    path = archive(tmp_path / "a.zip", [*files_of(adapter), *members])
    with pytest.raises(BadInput, match=message), open_upload(path):
        pass
    assert list(temporary.iterdir()) == []


def test_a_bomb_is_refused_by_what_it_says_and_by_what_it_does(adapter, temporary, tmp_path):
    zeros = archive(tmp_path / "a.zip", [files_of(adapter)[0], (TENSORS, bytes(2**22))])
    with pytest.raises(BadInput, match=r"unpacks to 4,194,304 bytes; allowed: 1,000,000"), open_upload(zeros, 10**6):
        pass
    content = zeros.read_bytes()
    lie = content.replace(struct.pack("<I", 2**22), struct.pack("<I", 1000))  # both headers say 1,000 bytes
    assert lie != content
    (tmp_path / "lie.zip").write_bytes(lie)
    with pytest.raises(BadInput, match=r"damaged|more than"), open_upload(tmp_path / "lie.zip", 10**6):
        pass
    with (
        pytest.raises(BadInput, match="has more than 1,000 bytes"),
        open_upload([adapter / CONFIG, adapter / TENSORS], 1000),
    ):
        pass
    assert list(temporary.iterdir()) == []


def test_uploads_without_an_adapter_are_refused(adapter, temporary, tmp_path):
    pickled = archive(tmp_path / "p.zip", [files_of(adapter)[0], ("adapter_model.bin", pickle.dumps(Bomb()))])
    (tmp_path / "torn.zip").write_bytes(archive(tmp_path / "a.zip", files_of(adapter)).read_bytes()[:-200])
    twice = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(twice, "w") as opened:
        for name, content in [*files_of(adapter), files_of(adapter)[1]]:
            opened.writestr(name, content)
    (tmp_path / "twice.zip").write_bytes(twice.getvalue())
    for upload, message in [
        (pickled, "adapter_model.bin is pickled, which can run code"),
        (tmp_path / "torn.zip", "holds no adapter_config.json"),
        (tmp_path / "twice.zip", "adapter_model.safetensors twice"),
        ([adapter / CONFIG], "holds no adapter_model.safetensors"),
        ([tmp_path / "nothing"], "holds no adapter_config.json"),
        (archive(tmp_path / "none.zip", [("README.md", "hello")]), "holds no adapter_config.json"),
    ]:
        with pytest.raises(BadInput, match=message), open_upload(upload):
            pass
    assert list(temporary.iterdir()) == []


def test_an_error_in_the_block_leaves_nothing_either(adapter, temporary, tmp_path):
    path = archive(tmp_path / "a.zip", files_of(adapter))
    with pytest.raises(ZeroDivisionError), open_upload(path):
        raise ZeroDivisionError
    assert list(temporary.iterdir()) == []


def test_folders_only_under_the_allowed_roots(adapter, tmp_path):
    assert allowed_folder(adapter, [tmp_path]) == adapter.resolve()
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(adapter)
    for path in (adapter, root / ".." / "adapter", root / "link"):
        with pytest.raises(BadInput, match="allowed: folders under"):
            allowed_folder(path, [root])
    with pytest.raises(BadInput, match="is no folder"):
        allowed_folder(root / "nothing", [root])

"""LoRA files as Kohya, Diffusers and ComfyUI write them: opened, edited and written back in their style."""

import json
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

import neatlab
from neatlab.cli import main
from neatlab.errors import BadInput
from neatlab.inspection import open_upload
from neatlab.inspection.measure import split_name
from neatlab.inspection.sources import open_source

BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"
FLAT = BLOCK.replace(".", "_")
LINEAR, CONV, POINT, TEXT = "attn1.to_q", "ff.conv", "ff.proj", "text_model.encoder.layers.0.self_attn.q_proj"
SHAPES = {LINEAR: (12, 10), CONV: (8, 6, 3, 3), POINT: (6, 8, 1, 1), TEXT: (9, 7)}  # of W₀
RANK = 3

UP_DOWN = {
    "kohya": (".lora_up.weight", ".lora_down.weight"),
    "diffusers": (".lora.up.weight", ".lora.down.weight"),
    "comfy": (".lora_B.weight", ".lora_A.weight"),
}


def layer_name(style, name):
    if style == "kohya":
        return f"lora_te_{name.replace('.', '_')}" if name == TEXT else f"lora_unet_{FLAT}_{name.replace('.', '_')}"
    if name == TEXT:
        return f"text_encoder.{name}" if style == "diffusers" else f"text_encoders.clip_l.transformer.{name}"
    return f"{'unet' if style == 'diffusers' else 'diffusion_model'}.{BLOCK}.{name}"


def tensors(style, alphas=None):
    generator = torch.Generator().manual_seed(1)
    made = {}
    for index, (name, shape) in enumerate(SHAPES.items()):
        d_out, *rest = shape
        layer, (up, down) = layer_name(style, name), UP_DOWN[style]
        if style == "diffusers" and name == TEXT:
            up, down = ".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"
        made[f"{layer}{up}"] = torch.randn(d_out, RANK, *[1] * (len(rest) - 1), generator=generator)
        made[f"{layer}{down}"] = torch.randn(RANK, *rest, generator=generator)
        if style == "kohya":
            made[f"{layer}.alpha"] = torch.tensor((alphas or [1.5, 2.0, 3.0, 4.0])[index])
    return made


def write(folder, style, extra=None, metadata=None, **options):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({**tensors(style, **options), **(extra or {})}, folder / f"{style}.safetensors", metadata=metadata)
    return folder / f"{style}.safetensors"


def deltas(file):
    """ΔW of each layer by what its modules do to an input: the convolution of the one is that of down and then up."""
    state, made = {name: tensor.float() for name, tensor in load_file(file).items()}, {}
    for key, up in state.items():
        pair = next(
            (pair for pair in (*UP_DOWN.values(), (".lora_linear_layer.up.weight",) * 2) if key.endswith(pair[0])), None
        )
        if pair is None:
            continue
        layer = key.removesuffix(pair[0])
        down = state[key.replace("up.weight", "down.weight").replace("lora_B", "lora_A")]
        alpha = state.get(f"{layer}.alpha")
        scaling = 1.0 if alpha is None else float(alpha) / len(down)
        if down.ndim == 4:
            d_in, k = down.shape[1], down.shape[-1]
            units = torch.eye(d_in * k * k).view(-1, d_in, k, k)
            made[layer] = scaling * F.conv2d(F.conv2d(units, down), up)[:, :, 0, 0].T
        else:
            made[layer] = scaling * up @ down
    return made


def base_weights():
    generator = torch.Generator().manual_seed(2)
    names = {f"{BLOCK}.{name}.weight": shape for name, shape in SHAPES.items() if name != TEXT}
    return {name: torch.randn(shape, generator=generator) for name, shape in names.items()}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unet")
    save_file(base_weights(), folder / "diffusion_pytorch_model.safetensors")
    return folder


@pytest.mark.parametrize("style", UP_DOWN)
def test_a_file_is_inspected_with_and_without_its_base(style, base, tmp_path):
    file = write(tmp_path, style)
    expected, source = deltas(file), open_source(tmp_path, base)
    assert set(source.layers) == set(expected) and not source.left_out
    assert source.settings["names"].lower().startswith(style[:5])
    for name in SHAPES:
        layer = layer_name(style, name)
        read = source.read(layer)
        assert torch.allclose(read.delta.dense(), expected[layer], atol=1e-5), name
        assert read.requested_rank == RANK
        if name == TEXT:  # a part that this base does not hold
            assert read.weight is None
        else:
            assert torch.equal(read.weight, base_weights()[f"{BLOCK}.{name}.weight"].flatten(1))
    report = neatlab.inspect(file, base)
    assert {row.name: row.shape for row in report.layers}[layer_name(style, CONV)] == (8, 54)
    assert [row.against_base is None for row in report.layers].count(True) == 1


ACTS = {
    "compress:rank=2": lambda delta: truncated(delta, 2),
    "rewind:alpha=0.5": lambda delta: 0.5 * delta,
    "drop-direction:index=1": lambda delta: delta - truncated(delta, 1),
    "convert:to=lora": lambda delta: delta,
}


def truncated(delta, rank):
    u, s, vh = torch.linalg.svd(delta, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vh[:rank]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("style", UP_DOWN)
def test_an_act_is_written_back_in_the_same_style(style, act, tmp_path):
    metadata = {"ss_network_dim": "3", "ss_network_alpha": "1", "sshs_model_hash": "abc", "ss_base": "sd"}
    file = write(tmp_path, style, metadata=metadata)
    done = neatlab.edit(file, [act], tmp_path / "out")
    result = tmp_path / "out" / file.name
    assert [path.name for path in (tmp_path / "out").iterdir()] == [file.name]
    before, after, expected = load_file(file), load_file(result), deltas(file)
    assert {*before} == {*after} and all(after[key].ndim == before[key].ndim for key in before)
    for layer, delta in deltas(result).items():
        assert torch.allclose(delta, ACTS[act](expected[layer]), atol=1e-5), layer
    rank = done.layers[0].rank_after
    with safe_open(result, "pt") as opened:
        written = opened.metadata()
    assert written["ss_base"] == "sd" and "sshs_model_hash" not in written and written["ss_network_dim"] == str(rank)
    assert {row.rank_after for row in neatlab.edit(result, ["scale:factor=2"], tmp_path / "twice").layers} == {rank}


def test_half_precision_keeps_its_numbers_and_scalings(tmp_path):
    file = write(tmp_path, "kohya")
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file)
    neatlab.edit(file, ["keep-layers:pattern=lora_unet_*"], tmp_path / "kept")
    before, after = load_file(file), load_file(tmp_path / "kept" / file.name)
    assert len(after) == len(before) - 3 and all(torch.equal(before[key], after[key]) for key in after)
    neatlab.edit(file, ["compress:rank=1"], tmp_path / "out")
    expected = deltas(file)
    for layer, delta in deltas(tmp_path / "out" / file.name).items():
        assert torch.allclose(delta, truncated(expected[layer], 1), atol=0.02)


def test_a_convolution_in_tucker_form_is_opened_and_written_as_a_plain_one(tmp_path):
    up, mid, down = torch.randn(8, 3, 1, 1), torch.randn(3, 2, 3, 3), torch.randn(2, 6, 1, 1)
    parts = {"lora_up.weight": up, "lora_mid.weight": mid, "lora_down.weight": down, "alpha": torch.tensor(1.0)}
    file = tmp_path / "tucker.safetensors"
    save_file({f"lora_unet_conv.{name}": tensor for name, tensor in parts.items()}, file)
    units = torch.eye(6 * 9).view(-1, 6, 3, 3)
    expected = 0.5 * F.conv2d(F.conv2d(F.conv2d(units, down), mid), up)[:, :, 0, 0].T
    assert torch.allclose(open_source(file).read("lora_unet_conv").delta.dense(), expected, atol=1e-5)
    neatlab.edit(file, ["convert:to=lora"], tmp_path / "out")
    assert torch.allclose(deltas(tmp_path / "out" / file.name)["lora_unet_conv"], expected, atol=1e-5)


@pytest.mark.parametrize("rslora", [False, True])
def test_scalings_that_diffusers_wrote_beside_the_tensors(rslora, tmp_path):
    settings = {"unet.lora_alpha": 6, "unet.r": 3, "unet.use_rslora": rslora, "unet.alpha_pattern": {"to_q": 9}}
    file = write(tmp_path, "diffusers", metadata={"lora_adapter_metadata": json.dumps(settings)})
    source, plain = open_source(file), deltas(file)
    over = RANK**0.5 if rslora else RANK
    for name, alpha in ((LINEAR, 9), (CONV, 6), (TEXT, over)):
        layer = layer_name("diffusers", name)
        assert torch.allclose(source.read(layer).delta.dense(), plain[layer] * alpha / over, atol=1e-4), name
    neatlab.edit(file, ["rewind:alpha=1"], tmp_path / "out")
    layer = layer_name("diffusers", LINEAR)
    assert torch.allclose(deltas(tmp_path / "out" / file.name)[layer], plain[layer] * 9 / over, atol=1e-4)


def test_files_are_merged_and_their_intruders_weakened(base, tmp_path):
    one, other = write(tmp_path / "one", "kohya"), write(tmp_path / "two", "kohya", alphas=[3.0, 1.0, 1.0, 1.0])
    neatlab.edit(one, [f"merge:with={other},weights=1+0.5"], tmp_path / "out")
    first, second, both = deltas(one), deltas(other), deltas(tmp_path / "out" / one.name)
    assert all(torch.allclose(both[n], first[n] + 0.5 * second[n], atol=1e-5) for n in first)
    acts = ["keep-layers:pattern=lora_unet_*", "reduce-intruders:lambda=0"]
    assert neatlab.edit(one, acts, tmp_path / "calm", base).relative_frobenius > 0


def test_what_is_not_understood_is_listed_and_not_dropped(tmp_path, capsys):
    extra = {
        f"{layer_name('kohya', LINEAR)}.dora_scale": torch.ones(12, 1),
        "lora_unet_x.hada_w1_a": torch.ones(2, 2),
        "lora_unet_y.lora_up.weight": torch.ones(2, 2),
        "bundle_emb.cat.string_to_param.*": torch.ones(2),
    }
    file = write(tmp_path, "kohya", extra)
    assert main(["inspect", str(file)]) == 0
    printed = capsys.readouterr().out
    for name, reason in {
        layer_name("kohya", LINEAR): "a DoRA, by its tensor dora_scale",
        "lora_unet_x.hada_w1_a": "a tensor of LyCORIS",
        "lora_unet_y.lora_up.weight": "half of a LoRA",
        "bundle_emb.cat.string_to_param.*": "a key that is not understood",
    }.items():
        assert f"left out: {name}, {reason}" in printed
    with pytest.raises(BadInput, match=r"take it out with keep-layers \(and 3 more: "):
        neatlab.edit(file, ["compress:rank=1"], tmp_path / "out")
    neatlab.edit(file, ["keep-layers:pattern=lora_te_*"], tmp_path / "out")
    assert len(load_file(tmp_path / "out" / file.name)) == 3


def test_an_upload_may_be_a_lora_file(tmp_path):
    file = write(tmp_path, "kohya")
    with open_upload(file) as folder:
        assert open_source(folder).layers == open_source(file).layers
    save_file({"x.weight": torch.ones(3, 3)}, file)
    with (
        pytest.raises(BadInput, match=r"the upload holds no adapter_config\.json and is no LoRA file"),
        open_upload(file),
    ):
        pass


def test_kohyas_names_are_split_at_their_numbers():
    assert split_name(f"lora_unet_{FLAT}_attn1_to_q") == ("attentions.*.transformer_blocks.*.attn1.to_q", 1)


UP, DOWN, ALPHA = "lora_unet_a.lora_up.weight", "lora_unet_a.lora_down.weight", "lora_unet_a.alpha"
PAIR = {UP: torch.ones(4, 2), DOWN: torch.ones(2, 3)}
HOSTILE = {
    "ranks differ": ({**PAIR, UP: torch.ones(4, 3)}, "up is 4 × 3 and down 2 × 3; their ranks differ"),
    "no matrix": ({**PAIR, UP: torch.ones(4)}, "up is 4 and down 2 × 3; up is d_out × r"),
    "a wide up": ({**PAIR, UP: torch.ones(4, 2, 3, 3)}, "up is 4 × 2 × 3 × 3"),
    "alpha is NaN": ({**PAIR, ALPHA: torch.tensor(float("nan"))}, "alpha' is nan; α is one finite number"),
    "alpha is infinite": ({**PAIR, ALPHA: torch.tensor(float("inf"))}, "alpha' is inf"),
    "alpha is a vector": ({**PAIR, ALPHA: torch.ones(4)}, "alpha' is 4 numbers"),
    "NaN": ({**PAIR, UP: torch.full((4, 2), float("nan"))}, "holds 8 values that are NaN or infinite"),
    "quantised": ({**PAIR, UP: torch.ones(4, 2, dtype=torch.int8)}, "quantised weights cannot be read"),
    "twice": ({**PAIR, **{f"lora_unet_a.lora_{n}.weight": torch.ones(2, 2) for n in "AB"}}, "is there twice"),
    "rank 0": ({UP: torch.ones(4, 0), DOWN: torch.ones(0, 3)}, "holds no LoRA on a layer; 'lora_unet_a' is of rank 0"),
    "only LyCORIS": ({"lora_unet_a.hada_w1_a": torch.ones(2, 2)}, "holds no LoRA on a layer; .* LyCORIS"),
    "an unprintable name": ({**PAIR, "a\nb": torch.ones(1)}, "the file has the key"),
    "a huge name": ({**PAIR, "a" * 500: torch.ones(1)}, "allowed: 400 printable"),
    "a huge kernel": (
        {
            UP: torch.ones(1, 1, 1, 1),
            DOWN: torch.ones(1, 40_000, 1, 1),
            "lora_unet_a.lora_mid.weight": torch.ones(1, 1, 100, 100),
        },
        "asks for a factor of 400,000,000 numbers",
    ),
    "PEFT's names": (
        {f"base_model.model.x.lora_{n}.weight": torch.ones(2, 2) for n in "AB"},
        "has PEFT's names, whose scaling adapter_config.json says",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_in_one_line(case, tmp_path):
    state, message = HOSTILE[case]
    file = tmp_path / "hostile.safetensors"
    save_file(state, file)
    for work in (lambda: neatlab.inspect(file), lambda: neatlab.edit(file, ["rewind:alpha=0.5"], tmp_path / "out")):
        with pytest.raises(BadInput, match=message) as refusal:
            work()
        assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


METADATA = [
    "[1]",
    "{",
    '{"lora_alpha": "x"}',
    '{"lora_alpha": 1e999}',
    '{"alpha_pattern": 3}',
    '{"alpha_pattern": {"(a+)+$": 1}}',
    '{"alpha_pattern": {"a\\\\": 1}}',
]


@pytest.mark.parametrize("text", METADATA)
def test_hostile_metadata_is_refused(text, tmp_path):
    file = write(tmp_path, "comfy", metadata={"lora_adapter_metadata": text})
    with pytest.raises(BadInput, match="lora_adapter_metadata"):
        neatlab.inspect(file)


def test_lying_headers_twice_the_same_key_and_paths_in_names(tmp_path):
    entry = {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}
    cases = [{"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}, {**entry, "shape": [-1, -1]}]
    texts = [json.dumps({UP: case}) for case in cases] + [
        f'{{"{UP}": {json.dumps(entry)}, "{UP}": {json.dumps(cases[0])}}}'
    ]
    for text in texts:
        (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text.encode() + b"1234")
        with pytest.raises(BadInput, match="is not a whole safetensors file"):
            neatlab.inspect(tmp_path / "x.safetensors")
    save_file(
        {key.replace("lora_unet_a", "../../etc/passwd"): t for key, t in PAIR.items()}, tmp_path / "x.safetensors"
    )
    neatlab.edit(tmp_path / "x.safetensors", ["compress:rank=1"], tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"x.safetensors", "out"}


def test_what_goes_with_no_file_of_this_kind(base, tmp_path):
    file = write(tmp_path / "a", "kohya")
    for acts, options, message in [
        (["convert:to=neat"], {}, "which knows no NEAT"),
        (["rewind:alpha=0.5"], {"task": "digits"}, "is a LoRA of an image model"),
        ([f"merge:with={write(tmp_path / 'b', 'comfy')}"], {}, "share no layer"),
        (["reduce-intruders"], {}, "needs W₀; give the model with --base"),
    ]:
        with pytest.raises(BadInput, match=message):
            neatlab.edit(file, acts, tmp_path / "out", **options)
    write(tmp_path / "b", "kohya")
    with pytest.raises(BadInput, match=r"holds 2 LoRA files, comfy\.safetensors and kohya\.safetensors first"):
        neatlab.inspect(tmp_path / "b")
    save_file({"x.weight": torch.ones(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match=r"adapter and base do not fit: layer 'lora_.*' is not in"):
        neatlab.inspect(file, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match="holds no LoRA with the names of Kohya, Diffusers or ComfyUI"):
        neatlab.edit(tmp_path / "other.safetensors", ["scale:factor=2"], tmp_path / "out")

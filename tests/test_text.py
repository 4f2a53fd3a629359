"""The text task: its documentation strings, its base model from a folder, the hub or the extra."""

import hashlib
import json
import re
from collections import Counter

import pytest
import torch
from huggingface_hub import constants
from transformers import AutoModelForSequenceClassification

from neatlab.errors import BadInput
from neatlab.tasks import docstrings, load_task, pretrained
from neatlab.tasks.base import select, size
from neatlab.tasks.heads import check_targets, head_of, usual_targets
from neatlab.tasks.sequences import encode, forward, trimmed
from tests.folders import bert_folder, llama_folder, roberta_folder


@pytest.fixture(scope="module")
def splits():
    return docstrings.docstring_splits(0, 8, 2, 4)


def test_texts_are_balanced_masked_and_long_enough(splits):
    counts = {name: [sum(t.label == k for t in texts) for k in range(8)] for name, texts in splits.items()}
    assert counts == {"train": [8] * 8, "validation": [2] * 8, "test": [4] * 8}
    for text in (text.text for texts in splits.values() for text in texts):
        assert docstrings.MIN_WORDS <= len(text.split()) <= docstrings.MAX_WORDS
        assert not re.search(r"numpy|scipy|sklearn|pandas|torch|networkx|sympy|dask", text, re.IGNORECASE)


def test_no_two_texts_begin_alike(splits):
    beginnings = [re.sub("[^a-z]", "", t.text.lower())[:60] for texts in splits.values() for t in texts]
    assert len(set(beginnings)) == len(beginnings)


def test_a_module_goes_to_one_split_whole(monkeypatch):
    def texts(path):
        name = "".join(chr(97 + byte % 26) for byte in hashlib.sha256(str(path).encode()).digest())
        return [f"{letter}{name} {path}" for letter in "abcdef"]

    monkeypatch.setattr(docstrings, "_texts", texts)
    wanted = {"train": 40, "validation": 10, "test": 20}
    found = docstrings._package_splits("networkx", 0, wanted, set())
    modules = {name: {text.split()[1] for text in taken} for name, taken in found.items()}
    assert {name: len(taken) for name, taken in found.items()} == wanted
    assert not modules["train"] & modules["validation"]
    assert not modules["train"] & modules["test"]
    assert not modules["validation"] & modules["test"]
    assert max(Counter(text.split()[1] for text in found["train"]).values()) == docstrings.MAX_PER_MODULE


def test_another_seed_takes_other_texts(splits):
    other = docstrings.docstring_splits(1, 8, 2, 4)
    assert {t.text for t in other["train"]} != {t.text for t in splits["train"]}


def test_masking():
    told = docstrings.masked("Make NumPy arrays with np.array, PyTorch or scikit-learn.\n\nParameters\n----\nx : numpy")
    assert told.strip() == "Make package arrays with package.array, package or package."


def text_task(**options):
    return load_task("text", {"model": bert_folder(), "per_package": 8, **options})


def test_the_task_on_a_local_folder():
    task = text_task()
    assert (task.targets, task.head) == (["query", "value"], ["classifier"])
    assert {name: size(task.split(name)) for name in ("train", "validation", "test")} == {
        "train": 64,
        "validation": 16,
        "test": 32,
    }
    score = task.score(task.base_model(), "validation")
    assert score.loss == pytest.approx(torch.log(torch.tensor(8.0)).item(), rel=0.1)


def test_padding_does_not_change_the_answer():
    task = text_task()
    model, batch = task.base_model(), task.split("train")
    lengths = batch["attention_mask"].sum(1)
    short = select(batch, lengths.argsort()[:1])
    with torch.no_grad():
        alone = forward(model, short)
        among = forward(model, select(batch, lengths.argsort()[[0, -1]]))[:1]
    assert torch.allclose(alone, among, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_trimming_takes_only_padding_away(side):
    ids = torch.tensor([[5, 6, 0, 0], [5, 0, 0, 0]])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long(), "label": torch.tensor([1, 0])}
    if side == "left":
        batch |= {name: batch[name].flip(1) for name in ("input_ids", "attention_mask")}
    found = trimmed(batch)
    assert found["input_ids"].shape == (2, 2)
    assert found["input_ids"].sum() == ids.sum()
    assert torch.equal(found["label"], batch["label"])


def test_encoding_counts_what_was_cut():
    tokenizer = pretrained.tokenizer(pretrained.model_folder(bert_folder()))
    found = encode(tokenizer, ["ab", "abcdefgh"], None, 6)
    assert found.truncated == 1
    assert found.batch["input_ids"].shape == (2, 6)
    assert next(iter(found.batch)) == "input_ids"


def test_a_run_remembers_its_model_and_packages():
    options = load_task("text", {"model": bert_folder()})._options
    assert len(options.model_sha256) == 16
    assert "numpy-" in options.packages and "+" not in options.packages
    other = options.model_copy(update={"model_sha256": "0" * 16})
    with pytest.raises(BadInput, match="not the one this run was made with"):
        load_task("text", other.model_dump()).base_model()
    older = options.model_copy(update={"packages": "numpy-1.0"})
    with pytest.raises(BadInput, match=r"texts come from numpy-1\.0"):
        load_task("text", older.model_dump()).split("train")


def test_a_changed_weight_changes_the_digest(tmp_path):
    folder = pretrained.model_folder(bert_folder())
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = pretrained.model_digest(tmp_path)
    assert before == pretrained.model_digest(folder)
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert pretrained.model_digest(tmp_path) != before


def test_the_extra_is_the_default():
    """The `minilm` extra: all-MiniLM-L6-v2 as its authors published it, by the weights' SHA-256 on the hub."""
    folder = pretrained.model_folder(pretrained.MINILM)
    digest = pretrained.file_digest(folder / "model.safetensors")
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    task = load_task("text", {})
    model = task.base_model()
    assert sum(p.numel() for p in model.parameters()) == 22_713_216 + 8 * 385
    assert (task.targets, task.head) == (["query", "value"], ["classifier"])


# Model folders and names that cannot be used.


def test_without_the_extra_the_message_names_it(monkeypatch):
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"'\.\[minilm\]'.*--local-dir"):
        pretrained.model_folder(pretrained.MINILM)


@pytest.mark.parametrize("asks", [True, False])
def test_a_hub_name_without_network_is_refused_after_one_brief_question(monkeypatch, asks):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", "http://127.0.0.1:9", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    if asks:
        monkeypatch.setenv("NEATLAB_HUB", "ask")
    asked, model_info = [], pretrained.HfApi.model_info

    def ask(self, model, **settings):
        asked.append((model, settings["timeout"]))
        return model_info(self, model, **settings)

    monkeypatch.setattr(pretrained.HfApi, "model_info", ask)
    with pytest.raises(BadInput, match="does not answer" if asks else "HF_HUB_OFFLINE is set") as caught:
        pretrained.model_folder("someone/some-model")
    assert asked == [("someone/some-model", pretrained.HUB_SECONDS)]
    assert "hf download someone/some-model --local-dir DIR" in str(caught.value)
    assert constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no config.json"),
        ({"adapter_config.json": "{}"}, "give its base model"),
        ({"config.json": "{}"}, "has no weights"),
        (
            {"config.json": "{}", "pytorch_model.bin": "x"},
            "only as pytorch_model.bin.*can run any code.*save_pretrained",
        ),
        ({"config.json": "{", "model.safetensors": ""}, "cannot be loaded"),
        ({"config.json": '{"model_type": "nonesuch"}', "model.safetensors": ""}, "cannot be loaded"),
        ({"config.json": '{"model_type": "bert"}', "model.safetensors": "x"}, "cannot be loaded"),
    ],
)
def test_folders_that_are_refused(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=message) as caught:
        folder = pretrained.model_folder(str(tmp_path))
        pretrained.model_config(folder)
        pretrained.load(AutoModelForSequenceClassification, folder, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "a b", "one/two/three"])
def test_a_folder_that_is_not_there(name):
    with pytest.raises(BadInput, match="no model folder"):
        pretrained.model_folder(name)


def test_code_that_comes_with_a_model_is_not_run(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "code.Own", "AutoModel": "code.Own"}})
    )
    (tmp_path / "code.py").write_text("raise SystemExit('this was run')")
    with pytest.raises(BadInput, match="cannot be loaded"):
        pretrained.model_config(pretrained.model_folder(str(tmp_path)))


def test_weights_of_another_model_are_refused(tmp_path):
    folder = pretrained.model_folder(roberta_folder())
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text((pretrained.model_folder(bert_folder()) / "config.json").read_text())
    with pytest.raises(BadInput, match=r"lack \d+ of its parameters|cannot be loaded"):
        head_of(*pretrained.load(AutoModelForSequenceClassification, tmp_path, 0))


@pytest.mark.parametrize(
    ("folder", "targets", "head"),
    [
        (bert_folder, ["query", "value"], ["classifier"]),
        (roberta_folder, ["query", "value"], ["classifier"]),
        (llama_folder, ["q_proj", "v_proj"], ["score"]),
    ],
)
def test_targets_and_head_of_architectures(folder, targets, head):
    model, drawn = pretrained.load(AutoModelForSequenceClassification, pretrained.model_folder(folder()), 0)
    assert usual_targets(model) == targets
    assert head_of(model, drawn) == head
    check_targets(model, targets)
    with pytest.raises(BadInput, match=f"'{targets[0]}s'; nearest: {targets[0]}"):
        check_targets(model, [targets[0] + "s"])

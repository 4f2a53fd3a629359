"""Model folders as transformers writes them, tiny and with random weights, made once a process."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "</s>"]
LETTERS = [chr(code) for code in range(32, 127)] + ["\n"]


@cache
def root() -> Path:
    """A folder that goes when the process does."""
    folder = Path(tempfile.mkdtemp(prefix="neatlab-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _tokenizer(ends: bool) -> Any:
    """One token a character; `ends` puts [CLS] before and [SEP] after, as BERT's does."""
    known = {token: place for place, token in enumerate([*SPECIAL, *LETTERS])}
    found = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    found.normalizer = normalizers.Lowercase() if ends else None
    found.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    found.decoder = decoders.Fuse()
    if ends:
        found.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]"} | (
        {"cls_token": "[CLS]", "sep_token": "[SEP]"} if ends else {"eos_token": "</s>"}
    )
    return PreTrainedTokenizerFast(tokenizer_object=found, **names)


def _write(name: str, model: Any, *beside: Any) -> str:
    folder = root() / name
    model.save_pretrained(folder)
    for part in beside:
        part.save_pretrained(folder)
    return str(folder)


def _seeded(make: Any, config: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return _louder(make(config))


def _louder(model: Any) -> Any:
    """Weights of a trained model's size: at transformers' std of 0.02 a width of 16 passes next to nothing on."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 1 if "embed" in name else parameter.shape[-1] ** -0.5)
    return model


@cache
def bert_folder(labels: tuple[str, ...] = ()) -> str:
    """An encoder; with `labels` one whose classifier knows them."""
    told: dict[str, Any] = {"id2label": dict(enumerate(labels))} if labels else {}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(vocab_size=128, max_position_embeddings=64, pad_token_id=0, **still, **told, **SIZES)
    model = _seeded(BertForSequenceClassification if labels else BertModel, config)
    return _write("bert-" + "-".join(labels), model, _tokenizer(ends=True))


@cache
def roberta_folder() -> str:
    """A masked language model, as RoBERTa is published."""
    config = RobertaConfig(vocab_size=128, max_position_embeddings=70, pad_token_id=0, type_vocab_size=1, **SIZES)
    return _write("roberta", _seeded(RobertaForMaskedLM, config), _tokenizer(ends=True))


@cache
def llama_folder(width: int = 16) -> str:
    """A causal language model on characters."""
    sizes = {**SIZES, "hidden_size": width, "intermediate_size": 2 * width}
    config = LlamaConfig(
        vocab_size=128, max_position_embeddings=256, num_key_value_heads=1, eos_token_id=4, pad_token_id=0, **sizes
    )
    return _write(f"llama-{width}", _seeded(LlamaForCausalLM, config), _tokenizer(ends=False))


@cache
def vit_folder() -> str:
    """An image encoder for 16 × 16 pixels without a classifier."""
    config = ViTConfig(image_size=16, patch_size=8, **SIZES)
    return _write("vit", _seeded(ViTModel, config), ViTImageProcessorPil(size={"height": 16, "width": 16}))

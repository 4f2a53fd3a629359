"""Tiny transformers models with random weights, each with a batch that it can learn from."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TOKENS = 24


@dataclass(frozen=True)
class Tiny:
    """How to build a model, what to feed it, and where adapters and the head are."""

    build: Callable[[], nn.Module]
    batch: dict[str, Tensor]
    targets: list[str]
    head: list[str]

    def logits(self, model: nn.Module) -> Tensor:
        """Output in evaluation mode, without gradients."""
        model.eval()
        with torch.no_grad():
            return model(**self.batch).logits

    def loss(self, model: nn.Module) -> Tensor:
        return model.train()(**self.batch).loss


def _seeded(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """The same weights in every call."""

    def build() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return _louder(make())

    return build


def _louder(model: nn.Module) -> nn.Module:
    """Weights of a trained model's size: at transformers' std of 0.02 a width of 16 passes next to nothing on."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in name:
                parameter.normal_(0, parameter.shape[-1] ** -0.5)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1)
    return model


def _vit() -> nn.Module:
    return ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, num_channels=1, num_labels=3, **SIZES))


def _bert() -> nn.Module:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return BertForSequenceClassification(
        BertConfig(vocab_size=TOKENS, max_position_embeddings=16, num_labels=3, **still, **SIZES)
    )


def _llama() -> nn.Module:
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=TOKENS, max_position_embeddings=16, num_key_value_heads=1, **ends, **SIZES)
    )


def _gpt2() -> nn.Module:
    size = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, "bos_token_id": 1, "eos_token_id": 2}
    still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=TOKENS, **size, **still))


def _draw(shape: tuple[int, ...], high: int) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(1))


_PIXELS = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
_IDS = _draw((4, 8), TOKENS)

# Square, wide and tall layers in each.
MODELS: dict[str, Tiny] = {
    "vit": Tiny(
        _seeded(_vit),
        {"pixel_values": _PIXELS, "labels": _draw((8,), 3)},
        ["q_proj", "v_proj", "fc1", "fc2"],
        ["classifier"],
    ),
    "bert": Tiny(
        _seeded(_bert),
        {"input_ids": _IDS, "labels": _draw((4,), 3)},
        ["query", "value", "intermediate.dense"],
        ["classifier"],
    ),
    "llama": Tiny(
        _seeded(_llama), {"input_ids": _IDS, "labels": _IDS}, ["q_proj", "v_proj", "up_proj", "down_proj"], ["lm_head"]
    ),
}
GPT2 = Tiny(_seeded(_gpt2), {"input_ids": _IDS, "labels": _IDS}, ["c_attn", "c_proj"], [])  # Conv1D layers

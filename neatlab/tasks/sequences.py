"""Texts as token tensors, and how a sequence classifier is trained and judged on them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neatlab.tasks.base import Batch, Score, eval_mode, select, size, to_device
from neatlab.tasks.metrics import Measure
from neatlab.tasks.outcomes import Outcomes

CHUNK = 64  # examples that are scored at once
LABEL = "label"


class Encoded(NamedTuple):
    """Token columns of some texts (n × longest), and how many texts were cut off at the limit."""

    batch: Batch
    truncated: int


def encode(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> Encoded:
    """Tokenise texts, or pairs of them.

    Args:
        tokenizer: A fast transformers tokeniser.
        texts: One an example.
        pairs: Each example's second text; None where there is one text only.
        max_length: Tokens that an example may have, special ones included.

    Returns:
        `input_ids` first, then what else the model takes, padded on the tokeniser's side.
    """
    sides = [list(texts)] if pairs is None else [list(texts), list(pairs)]
    encoded = tokenizer(*sides, truncation=True, max_length=max_length, padding="longest", return_tensors="pt")
    truncated = sum(bool(encoding.overflowing) for encoding in encoded.encodings)
    return Encoded(
        {name: encoded[name] for name in ("input_ids", *encoded) if name in tokenizer.model_input_names}, truncated
    )


def trimmed(batch: Batch) -> Batch:
    """Token columns without the positions that are padding in every example."""
    used = batch["attention_mask"].any(dim=0).nonzero().flatten()
    if not len(used):
        return batch
    window, width = slice(int(used[0]), int(used[-1]) + 1), batch["attention_mask"].shape[1]
    return {name: c[:, window] if c.ndim == 2 and c.shape[1] == width else c for name, c in batch.items()}


def forward(model: nn.Module, batch: Batch) -> Tensor:
    """The model's logits on all columns but the label, on its own device."""
    logits: Tensor = model(**_inputs(model, trimmed(batch) if "attention_mask" in batch else batch)).logits
    return logits


def mean_states(model: nn.Module, batch: Batch) -> Tensor:
    """The mean of each text's last hidden states, those of padding left out: n × width."""
    inputs = _inputs(model, trimmed(batch))
    hidden = model(**inputs, output_hidden_states=True).hidden_states[-1].float()  # n × length × width
    mask = inputs["attention_mask"][:, :, None]
    return (hidden * mask).sum(1) / mask.sum(1)


def _inputs(model: nn.Module, batch: Batch) -> Batch:
    return to_device({name: column for name, column in batch.items() if name != LABEL}, model)


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy for whole-number labels, mean squared error for real ones."""
    target = labels.to(logits.device)
    if target.is_floating_point():
        return F.mse_loss(logits.squeeze(-1).float(), target)
    return F.cross_entropy(logits.float(), target)


def score_labels(
    model: nn.Module, batch: Batch, measure: Measure, inputs: Callable[[Batch], Batch] = lambda batch: batch
) -> Score:
    """Loss and metric of a classifier, or of a regression with one output, on a whole split.

    Args:
        model: Gives logits.
        batch: The split.
        measure: What to be judged by.
        inputs: Makes of some examples what the model takes.
    """
    chunks = torch.arange(size(batch)).split(CHUNK)
    with eval_mode(model):
        parts = [forward(model, inputs(select(batch, rows))).float().cpu() for rows in chunks]  # rows × outputs
    logits, labels = torch.cat(parts), batch[LABEL]
    predicted = logits.squeeze(-1) if labels.is_floating_point() else logits.argmax(1)
    return Score.by(measure, Outcomes.of(labels.numpy(), predicted.numpy()), float(label_loss(logits, labels)))

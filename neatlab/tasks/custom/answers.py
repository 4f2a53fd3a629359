"""How the examples of `custom` are shown, and what a model answers to them: labels, numbers, answers, losses."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neatlab.events import ExamplesChosen
from neatlab.tasks.answers import (
    MAX_ANSWER,
    Answers,
    class_answers,
    class_names,
    decoded_inputs,
    number_answers,
    pictures,
    sampled_rows,
    shortened,
    text_answers,
)
from neatlab.tasks.base import Batch, Score, eval_mode, select, size
from neatlab.tasks.custom.language import CHUNK, IGNORED, PROMPT_LENGTH, REFERENCE, final_answer, shifted
from neatlab.tasks.sequences import LABEL, forward


def labelled_examples(
    batch: Batch, labels: Sequence[str], tokenizer: Any, center: float, scale: float
) -> ExamplesChosen:
    """Texts or images with their labels, or with their numbers where these are real.

    Args:
        batch: The examples.
        labels: Names of the labels.
        tokenizer: The model's; not needed for images.
        center: Of the numbers that are learnt; the data's are center + scale · these.
        scale: As for `center`.
    """
    true = batch[LABEL]
    if "pixel_values" in batch:
        return ExamplesChosen(
            "picture", "class", pictures(batch["pixel_values"]), (*true.tolist(),), class_names(labels)
        )
    shown = decoded_inputs(tokenizer, batch)
    if true.is_floating_point():
        return ExamplesChosen("text", "number", shown, number_answers(center + scale * true).values)
    return ExamplesChosen("text", "class", shown, (*true.tolist(),), class_names(labels))


def label_answers(model: nn.Module, inputs: Batch, center: float, scale: float) -> Answers:
    """The labels that a classifier gives to what it takes; or numbers, as for `labelled_examples`."""
    with eval_mode(model):
        logits, true = forward(model, inputs), inputs[LABEL]  # n × outputs, n
    is_number = true.is_floating_point()
    return number_answers(center + scale * logits.squeeze(-1)) if is_number else class_answers(logits, true)


def language_examples(batch: Batch, tokenizer: Any, metric: str) -> ExamplesChosen:
    """Prompts with their answers, final ones where these are judged; or whole texts."""
    if metric == "loss":
        return ExamplesChosen("text", "loss", decoded_inputs(tokenizer, batch), ())
    rows = zip(batch["input_ids"].tolist(), batch[PROMPT_LENGTH].tolist(), strict=True)
    shown = shortened(tokenizer.decode(ids[:length], skip_special_tokens=True) for ids, length in rows)
    if metric == "final-answer":
        true = [bytes(row).rstrip(b"\0").decode() for row in batch[REFERENCE].tolist()]
    else:
        true = [tokenizer.decode(row[row != IGNORED], skip_special_tokens=True) for row in batch["label"]]
    return ExamplesChosen("text", "text", shown, tuple(text[:MAX_ANSWER] for text in true))


def language_answers(model: nn.Module, batch: Batch, tokenizer: Any, metric: str, score: Score) -> Answers:
    """Losses, or final answers as they were just scored, or each answer up to its first wrong token.

    Up to there one forward pass tells what greedy decoding would write; what it would write after it, only another
    pass for each token.
    """
    if metric == "final-answer" and score.outcomes is not None:
        rows = sampled_rows(len(score.texts)).tolist()
        return text_answers([final_answer(score.texts[row]) for row in rows], score.outcomes.predicted[rows].tolist())
    with eval_mode(model):
        parts = [shifted(model, select(batch, rows)) for rows in torch.arange(size(batch)).split(CHUNK)]
    if metric == "loss":
        return number_answers(torch.cat([_losses(*part) for part in parts]))
    written = [_written(tokenizer, *row) for part in parts for row in zip(*part, strict=True)]
    return text_answers([text for text, _ in written], [right for _, right in written])


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Nats a token of each example: logits n × length × vocabulary, targets n × length → n."""
    each = F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
    return each.sum(1) / (targets != IGNORED).sum(1).clamp(min=1)


def _written(tokenizer: Any, logits: Tensor, targets: Tensor) -> tuple[str, bool]:
    """An answer up to its first wrong token, with "…" where more would follow; and whether it is right as a whole."""
    judged = targets != IGNORED
    given, wanted = logits.argmax(-1)[judged], targets[judged]  # tokens of the answer
    wrong = (given != wanted).nonzero().flatten()
    if not len(wrong):
        return tokenizer.decode(given, skip_special_tokens=True), len(given) > 0
    first = int(wrong[0])
    text = tokenizer.decode(given[: first + 1], skip_special_tokens=True)
    return text if int(given[first]) == tokenizer.eos_token_id else f"{text}…", False

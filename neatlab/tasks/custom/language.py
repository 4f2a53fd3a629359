"""Prompts and answers for causal language models: encoding, loss on the answer, exact match and the final answer."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neatlab.tasks.base import Batch, Score, eval_mode, select, size
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.outcomes import Outcomes
from neatlab.tasks.sequences import Encoded, trimmed

IGNORED = -100
PROMPT_LENGTH = "prompt_length"
REFERENCE = "reference"  # final answers as UTF-8 with zeros after them, n × longest: whole, however much is cut off
CHUNK = 16  # examples at once
LM_LOSS = Metric("loss", "nats a token", False)
FINAL_ANSWER = Metric("final answer", "share of problems", True, 0.02)
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_STATED = re.compile(r"(?:####|answer is:?)\s*(.+)", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def encode_answers(tokenizer: Any, prompts: Sequence[str], answers: Sequence[str] | None, max_length: int) -> Encoded:
    """Prompt, answer and end of text as tokens; the loss counts the answer alone, or everything where there is none.

    Args:
        tokenizer: A transformers tokeniser.
        prompts: One an example.
        answers: One an example; None to learn the prompts themselves.
        max_length: Tokens an example; of a longer one the end is cut off.

    Returns:
        `input_ids`, `attention_mask`, `label` (−100 where the loss does not count) and `prompt_length`; of answers
        also `reference`.
    """
    begin = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    ids = [begin + row for row in _ids(tokenizer, prompts)]
    ends = [[*row, tokenizer.eos_token_id] for row in _ids(tokenizer, answers or [""] * len(ids))]
    whole = [(prompt + end)[:max_length] for prompt, end in zip(ids, ends, strict=True)]
    cut = sum(len(prompt) + len(end) > max_length for prompt, end in zip(ids, ends, strict=True))
    width = max(map(len, whole))
    hidden = [min(len(prompt), max_length) if answers else 0 for prompt in ids]
    padded = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in whole])
    lengths, position = torch.tensor([len(row) for row in whole]), torch.arange(width)
    learnt = (position >= torch.tensor(hidden)[:, None]) & (position < lengths[:, None])
    batch = {
        "input_ids": padded,
        "attention_mask": (position < lengths[:, None]).long(),
        "label": padded.where(learnt, torch.tensor(IGNORED)),
        PROMPT_LENGTH: torch.tensor(hidden),
    }
    return Encoded(batch | ({REFERENCE: _as_bytes([*map(final_answer, answers)])} if answers else {}), cut)


def _as_bytes(texts: Sequence[str]) -> Tensor:
    rows = [torch.tensor([*text.encode()], dtype=torch.uint8) for text in texts]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    return list(tokenizer(list(texts), add_special_tokens=False)["input_ids"])


def counted(batch: Batch) -> Tensor:
    """How many tokens of each example the loss counts (n); none comes before the first token, so that one never is."""
    return (batch["label"][:, 1:] != IGNORED).sum(1)


def answer_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean negative log-likelihood of the counted tokens, in nats."""
    logits, targets = shifted(model, batch)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def shifted(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits of each position but the last, and the token that comes after it."""
    device, cut = next(model.parameters()).device, trimmed(batch)
    inputs = {name: cut[name].to(device) for name in ("input_ids", "attention_mask")}
    return model(**inputs).logits[:, :-1].float(), cut["label"][:, 1:].to(device)


def score_answers(model: nn.Module, batch: Batch) -> Score:
    """Loss a token, and the share of answers that greedy decoding gives whole.

    Greedy decoding gives the answer if and only if each of its tokens is the most likely one after those before it,
    so one forward pass tells.
    """
    total, tokens, right = 0.0, 0, []
    with eval_mode(model):
        for rows in torch.arange(size(batch)).split(CHUNK):
            logits, targets = shifted(model, select(batch, rows))
            judged = targets != IGNORED
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
            total, tokens = total + float(loss), tokens + int(judged.sum())
            right += (((logits.argmax(-1) == targets) | ~judged).all(1) & judged.any(1)).tolist()
    return Score.by(METRICS["exact-match"], Outcomes.answers(right), total / max(tokens, 1))


def score_final(model: nn.Module, batch: Batch, tokenizer: Any, max_tokens: int) -> Score:
    """The share of problems whose generated text ends in the right final answer.

    Args:
        model: A causal language model.
        batch: As `encode_answers` makes it.
        tokenizer: The model's.
        max_tokens: Tokens to generate at most.
    """
    right, texts, loss = [], [], score_answers(model, batch).loss
    with eval_mode(model):
        for row in range(size(batch)):
            ids, start = batch["input_ids"][row], int(batch[PROMPT_LENGTH][row])
            answer = _generate(model, ids[None, :start], torch.ones_like(ids[None, :start]), tokenizer, max_tokens)[0]
            wanted = bytes(batch[REFERENCE][row].tolist()).rstrip(b"\0").decode()
            texts.append(tokenizer.decode(answer, skip_special_tokens=True))
            right.append(final_answer(texts[-1]).strip() == wanted.strip())
    return replace(Score.by(METRICS["exact-match"], Outcomes.answers(right), loss), texts=tuple(texts))


def generate_all(model: nn.Module, batch: Batch, tokenizer: Any, max_tokens: int) -> list[str]:
    """What the model writes after the prompt of each example, by greedy decoding, all of them at once.

    Args:
        model: A causal language model.
        batch: As `encode_answers` makes it.
        tokenizer: The model's.
        max_tokens: Tokens to generate at most.
    """
    prompts = [row[:length] for row, length in zip(batch["input_ids"], batch[PROMPT_LENGTH].tolist(), strict=True)]
    width = max(map(len, prompts))
    ids = torch.stack([F.pad(row, (width - len(row), 0), value=tokenizer.pad_token_id) for row in prompts])
    mask = torch.stack([F.pad(torch.ones_like(row), (width - len(row), 0)) for row in prompts])
    with eval_mode(model):
        written = _generate(model, ids, mask, tokenizer, max_tokens)
    return [tokenizer.decode(row, skip_special_tokens=True).strip() for row in written]


def _generate(model: Any, ids: Tensor, mask: Tensor, tokenizer: Any, max_tokens: int) -> Tensor:
    """The tokens after the prompts: ids and mask n × longest, padded in front, → n × at most `max_tokens`."""
    device = next(model.parameters()).device
    settings: dict[str, Any] = {
        "max_new_tokens": max_tokens,
        "do_sample": False,
        "pad_token_id": tokenizer.pad_token_id,
    }
    generated: Tensor = model.generate(input_ids=ids.to(device), attention_mask=mask.to(device), **settings)
    return generated[:, ids.shape[1] :].cpu()


def final_answer(text: str) -> str:
    """What a worked solution ends in: its last \\boxed{…}, what follows "####" or "answer is", else its last number."""
    if boxed := _BOXED.findall(text):
        return _bare(boxed[-1])
    if stated := _STATED.findall(text):
        return _bare(stated[-1])
    numbers = _NUMBER.findall(text)
    return _bare(numbers[-1]) if numbers else _bare(text)


def _bare(answer: str) -> str:
    """Without spaces, dollar signs, thousands commas and the full stop."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", answer.strip()).replace("$", "").replace(" ", "").rstrip(".")
    return text[:-3] if re.fullmatch(r"-?\d+\.00", text) else text

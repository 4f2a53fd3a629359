"""Cards to predict and reveal: questions for a class whose answers are computed, or shown by a training."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from neatlab.dashboard.shared.presets import PRESETS
from neatlab.dashboard.understand.request import LayerSizes
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
WIDE = LayerSizes(d_in=256, d_out=64, rank=4)
DRAWINGS = 50
SQUARE = LayerSizes(d_in=64, d_out=64, rank=4)


class Answer(NamedTuple):
    """What a card reveals.

    Args:
        right: The right choice; None where a training is the answer.
        text: Why.
        preset: A preset that shows it; "" for none.
    """

    right: str | None
    text: str
    preset: str = ""


class Card(NamedTuple):
    """A question.

    Args:
        question: The question.
        choices: What one may predict.
        answer: Computes the answer.
    """

    question: str
    choices: tuple[str, ...]
    answer: Callable[[], Answer]


def _wide() -> Answer:
    rank = WIDE.neat_rank
    text = (
        f"LoRA pays r·(d_in + d_out) = {WIDE.lora:,}; NEAT over the shorter side pays 2·r·{WIDE.mapped}, and reaches "
        f"{WIDE.neat_at(rank):,} at rank {rank}."
    )
    return Answer(str(rank), text, "neats-home")


def _square() -> Answer:
    rank = SQUARE.neat_rank
    text = (
        f"Both pay {SQUARE.lora:,} at rank {SQUARE.rank}: 2·r·64 is r·(64 + 64). No rank is gained, and NEAT's updates "
        "are a subset of LoRA's, so it can win here only by learning better from little data."
    )
    return Answer(str(rank), text)


def _ceiling() -> Answer:
    ranks = [measured_rank(rank=4, depth=8, seed=seed) for seed in range(DRAWINGS)]
    text = (
        f"{DRAWINGS} random drawings just now on a 64 × 48 weight: rank {min(ranks)} to {max(ranks)}. Only the last "
        "matrix leaves the r hidden units, and dead ReLUs take some of these away."
    )
    return Answer(str(max(ranks)), text, "depth")


def _contains() -> Answer:
    text = (
        "ReLU(MΘ₁)Θ₂ = PQ needs one hidden unit for the positive part of each of P's columns and one for the negative "
        "part, and M of full row rank. The section above does it on a real layer."
    )
    return Answer("2r", text)


def _home() -> Answer:
    return Answer(None, "No answer on paper: train both and look at the recovered error.", "neats-home")


def _away() -> Answer:
    return Answer(None, "The same layer and budget, another truth. Train both before you tell.", "loras-home")


WHO = ("LoRA", "NEAT", "both alike")
CARDS: tuple[Card, ...] = (
    Card(
        "A 256 → 64 layer, LoRA with r = 4. Which rank does NEAT get for as many parameters?",
        ("2", "4", "8", "10"),
        _wide,
    ),
    Card("The same on a square layer, 64 → 64?", ("2", "4", "8", "10"), _square),
    Card(
        "NEAT with r = 4, eight matrices and a ReLU between them: what rank can ΔW reach?",
        ("4", "8", "32", "any"),
        _ceiling,
    ),
    Card(
        "How many hidden units are enough for NEAT to hold every LoRA of rank r?",
        ("r", "2r", "r²", "it cannot"),
        _contains,
    ),
    Card("Equal parameters, 256 → 64, and the right update is a small network of W₀: who recovers it?", WHO, _home),
    Card(
        "Equal parameters, 256 → 64, and the right update is a product of two thin matrices: who recovers it?",
        WHO,
        _away,
    ),
)


def measured_rank(rank: int, depth: int, seed: int, d_in: int = 64, d_out: int = 48) -> int:
    """The rank of ΔW = f(W₀ᵀ)ᵀ for random matrices: NEAT written out in NumPy.

    Args:
        rank: r.
        depth: L.
        seed: Seed of all matrices.
        d_in: Inputs.
        d_out: Outputs.
    """
    draw = np.random.default_rng(seed)
    hidden = draw.standard_normal((d_in, d_out)) @ draw.standard_normal((d_out, rank))
    for _ in range(depth - 2):
        hidden = np.maximum(hidden, 0) @ draw.standard_normal((rank, rank))
    return int(np.linalg.matrix_rank(np.maximum(hidden, 0) @ draw.standard_normal((rank, d_out))))


def revealed(index: int, predicted: object) -> str:
    """A card's answer after a prediction.

    Args:
        index: Which card.
        predicted: The choice; anything else is taken for none.
    """
    card = CARDS[index]
    answer = card.answer()
    chosen = predicted if predicted in card.choices else None
    title = PRESETS[answer.preset].title if answer.preset else ""
    return _HTML.revealed(_judged(answer, chosen), answer.right, answer.text, answer.preset, title)


def _judged(answer: Answer, chosen: object) -> str:
    if chosen is None:
        return ""
    verdict = "" if answer.right is None else "Right. " if chosen == answer.right else "Not so. "
    return f"You predicted {chosen}. {verdict}"

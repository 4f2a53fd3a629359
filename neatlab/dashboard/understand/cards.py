"""Cards to predict and reveal: questions for a class, each with its answer and the experiment that shows it."""

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
SQUARE_LINK = "?tab=train&task=digits&arm=lora:rank=4&arm=neat:rank=4"
DEPTH_LINK = "?tab=ablate&ablate_task=digits&base=neat:rank=4&depth=2&depth=4&depth=8&activation=relu"


class Answer(NamedTuple):
    """What a card reveals.

    Args:
        right: The right choice.
        text: Why.
        link: The experiment that shows it, as a link into the page, or "#" and the id of what has its button.
        label: What the link does.
    """

    right: str
    text: str
    link: str
    label: str


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


def _trained(preset: str) -> tuple[str, str]:
    """Link and label of a preset that is trained as it is opened."""
    return f"?tab=train&preset={preset}", f"Train it: {PRESETS[preset].title}"


def _wide() -> Answer:
    rank = WIDE.neat_rank
    text = (
        f"LoRA pays r·(d_in + d_out) = {WIDE.lora:,}; NEAT over the shorter side pays 2·r·{WIDE.mapped}, and reaches "
        f"{WIDE.neat_at(rank):,} at rank {rank}."
    )
    return Answer(str(rank), text, *_trained("neats-home"))


def _square() -> Answer:
    rank = SQUARE.neat_rank
    text = (
        f"Both pay {SQUARE.lora:,} at rank {SQUARE.rank}: 2·r·64 is r·(64 + 64). No rank is gained, and NEAT's updates "
        "are a subset of LoRA's, so it can win here only by learning better from little data."
    )
    return Answer(str(rank), text, SQUARE_LINK, "Train both on digits, whose layers are square")


def _ceiling() -> Answer:
    ranks = [measured_rank(rank=4, depth=8, seed=seed) for seed in range(DRAWINGS)]
    text = (
        f"{DRAWINGS} random drawings just now on a 64 × 48 weight: rank {min(ranks)} to {max(ranks)}. Only the last "
        "matrix leaves the r hidden units, and dead ReLUs take some of these away."
    )
    return Answer(str(max(ranks)), text, DEPTH_LINK, "Ablate it: depths 2, 4 and 8 in one grid")


def _contains() -> Answer:
    text = (
        "ReLU(MΘ₁)Θ₂ = PQ needs one hidden unit for the positive part of each of P's columns and one for the negative "
        "part, and M of full row rank."
    )
    return Answer("2r", text, "#contains", "Construct it above, on a real layer")


def _home() -> Answer:
    text = "Over three seeds, each method at its own rate, NEAT recovers more. One training may say otherwise."
    return Answer("NEAT", text, *_trained("neats-home"))


def _away() -> Answer:
    text = "The same layer and budget, but W₀ tells nothing of the truth: over five seeds LoRA recovers more."
    return Answer("LoRA", text, *_trained("loras-home"))


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


def revealed(index: int, guess: object) -> str:
    """A card's answer after a guess, or that one is wanted first.

    Args:
        index: Which card.
        guess: The choice; anything else is taken for none.
    """
    card = CARDS[index]
    if guess not in card.choices:
        return _HTML.no_guess(card.choices)
    answer = card.answer()
    verdict = "Right" if guess == answer.right else "Not so"
    return _HTML.revealed(guess, verdict, *answer)

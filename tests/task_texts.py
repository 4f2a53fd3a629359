"""For each task of TASKS: the small options that its behaviour is tested with, and what is expected of it there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.folders import bert_folder, llama_folder, root


@dataclass(frozen=True)
class Case:
    """A task as the behaviour suite runs it.

    Args:
        options: Its options.
        other: An option that draws other data.
        training: A short adaptation.
        gain: What LoRA of rank 4 must add in it to the untouched base's test metric, in the metric's direction;
            None for a stand-in model with random weights, which only has to lose training loss.
        base: What the base must reach on held-out data of its own task; None where it has none.
    """

    options: Mapping[str, Any]
    other: Mapping[str, Any]
    training: Mapping[str, Any]
    gain: float | None
    base: float | None = None


def _sentences() -> str:
    """A CSV file of two labels."""
    path = root() / "sentences.csv"
    words = ("bright", "dark")
    rows = [f"{number} {words[number % 2]} day,{words[number % 2]}" for number in range(60)]
    path.write_text("\n".join(["text,label", *rows]))
    return str(path)


INTENTS = {"model": bert_folder(), "intents": 4, "per_intent": 8}

CASES = {
    "arithmetic": Case({"samples": 1000}, {"split_seed": 1}, {"steps": 100}, 0.3, 0.95),
    "banking77": Case(INTENTS, {"split_seed": 1}, {"steps": 20}, None),
    "chat": Case(
        {"model": llama_folder(), "ask": "problem", "samples": 64, "scored": 24, "max_length": 160},
        {"split_seed": 1},
        {"steps": 20},
        None,
    ),
    "clinc150": Case(INTENTS, {"split_seed": 1}, {"steps": 20}, None),
    "custom": Case({"model": bert_folder(), "data": _sentences()}, {"split_seed": 1}, {"steps": 20}, None),
    "digits": Case({}, {"split_seed": 1}, {}, 0.5, 0.88),
    "facts": Case({"facts": 64}, {"world_seed": 1}, {"steps": 60}, 0.4, 0.9),
    "sentiment": Case({"model": bert_folder(), "per_polarity": 16}, {"split_seed": 1}, {"steps": 20}, None),
    "teacher": Case(
        {"d_in": 24, "d_out": 12, "samples": 200, "kind": "low-rank", "rank": 2}, {"data_seed": 1}, {"steps": 200}, 0.5
    ),
    "text": Case({"model": bert_folder(), "per_package": 8}, {"split_seed": 1}, {"steps": 20}, None),
}

"""TERMS: the words that a newcomer to the page would have to look up, each in a sentence or two."""

from typing import NamedTuple

from markupsafe import Markup

from neatlab.runtime.templates import macros

_HTML = macros(__file__)


class Term(NamedTuple):
    """A term of the page.

    Args:
        word: As the page writes it.
        text: What it is.
    """

    word: str
    text: str


TERMS: dict[str, Term] = {
    "arm": Term(
        "Arm",
        "One way to adapt the model: a method with its settings. Rank r is the most directions that its ΔW can have. "
        "Depth L is the number of matrices in NEAT's f, and σ the function between them.",
    ),
    "weights": Term(
        "Weights",
        "W₀ is the frozen weight of a layer, and ΔW what an arm adds to it. LoRA multiplies two thin matrices, B A. "
        "NEAT runs W₀ itself through a small network: H is what comes out of its first matrix, before σ and after it.",
    ),
    "spectrum": Term(
        "Spectrum",
        "The singular values of ΔW, the largest first: how strongly it acts along each of its directions. Beyond rank "
        "r all are 0, with NEAT as with LoRA.",
    ),
    "effective-rank": Term(
        "Effective rank",
        "How many directions ΔW really uses: the exponential of the entropy of σᵢ/Σσ. It is 1 when one direction holds "
        "everything, and r when all weigh the same.",
    ),
    "splits": Term(
        "Training, validation, test",
        "What is trained on, what the curves and choices are judged by, and what is looked at once, in the end. An arm "
        "that falls on the first and rises on the second learns its examples by heart.",
    ),
    "budget": Term(
        "Parameters",
        "The numbers that an arm trains; the rest of the model is frozen. Two methods are compared fairly at the same "
        "number of them, and each at a learning rate of its own.",
    ),
    "interval": Term(
        "95 % interval",
        "It holds the true mean over seeds in 95 of 100 such experiments. One seed has none. Two arms differ when the "
        "interval of their difference leaves out 0.",
    ),
    "front": Term(
        "Front",
        "The arms that no other one beats in score and in cost at once. With few seeds the next one may turn it round.",
    ),
    "ranks": Term(
        "Critical difference",
        "On each task the best arm has rank 1. Two arms differ over all tasks when their mean ranks lie further apart "
        "than the critical difference; a bar joins those that do not.",
    ),
    "energy": Term(
        "Energy",
        "The share of ‖ΔW‖² that the leading directions hold together, the sum of their σᵢ². Where three hold nearly "
        "all, rank three would have done.",
    ),
    "intruder": Term(
        "Intruder dimension",
        "A leading singular direction of W₀ + ΔW that is like none of W₀. Many of them go with forgetting what the "
        "base knew.",
    ),
    "overlap": Term(
        "Overlap",
        "How much of ΔW lies in the leading directions of W₀: 1 when it works in them alone. NEAT takes one side of "
        "ΔW from W₀, LoRA none.",
    ),
    "angles": Term(
        "Principal angles",
        "The angles between the directions of two ΔW, the closest pair first: 0° where they share one, 90° where they "
        "share none.",
    ),
}


def glossary() -> Markup:
    """All terms, each hidden until its button is pressed; once a page."""
    return _HTML.glossary(TERMS)


def ask(term: str) -> Markup:
    """The button that explains a term.

    Args:
        term: Its name in TERMS.
    """
    return _HTML.ask(term, TERMS[term].word)

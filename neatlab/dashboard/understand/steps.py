"""The pseudo-inverse construction step by step, with a layer's own numbers."""

from typing import NamedTuple

from neatlab.dashboard.understand.request import Layer, Side
from neatlab.runtime.numbers import number

STEPS = 6
LONGEST, THIN = 96, 3  # pixels of the longest side of a step's matrices, and of the thinnest
RELU = r"\operatorname{ReLU}"


class Step(NamedTuple):
    """One step.

    Args:
        title: What it does.
        equation: In LaTeX.
        text: The same in words and numbers.
        matrices: Name, rows and columns; `drawn_steps` makes pixels of these, to one scale.
    """

    title: str
    equation: str
    text: str
    matrices: list[tuple[str, int, int]]


def stepped(layer: Layer) -> tuple[str, Side]:
    """The side that the steps are shown on, M in LaTeX and its numbers: one where the construction is exact, if any."""
    if layer.out.full and not layer.inward.full:
        return r"W_0^\top", layer.out
    return "W_0", layer.inward


def drawn_steps(weight: str, m: Side, rank: int) -> list[Step]:
    """The steps on a side.

    Args:
        weight: M in LaTeX.
        m: Its numbers.
        rank: The LoRA's rank.
    """
    steps = [_frozen(weight, m), _inverse(m), _first(m, rank), _split(m, rank), _last(m, rank), _missed(m)]
    scale = LONGEST / max(m.rows, m.columns, 2 * rank)
    return [step._replace(matrices=[_pixels(*matrix, scale) for matrix in step.matrices]) for step in steps]


def _pixels(name: str, rows: int, columns: int, scale: float) -> tuple[str, int, int]:
    return name, max(THIN, round(rows * scale)), max(THIN, round(columns * scale))


def _frozen(weight: str, m: Side) -> Step:
    condition = "∞" if m.condition is None else number(m.condition, 1)
    text = f"{m.rows:,} × {m.columns:,}, rank {m.rank:,} of {m.rows:,} rows, condition number {condition}."
    return Step("The frozen weight", f"M = {weight}", text, [("M", m.rows, m.columns)])


def _inverse(m: Side) -> Step:
    text = f"M⁺ is {m.columns:,} × {m.rows:,}. " + (
        "M has full row rank, so M undoes it: whatever P is, MM⁺P = P."
        if m.full
        else f"MM⁺ only projects onto {m.rank:,} of {m.rows:,} directions."
    )
    return Step(
        "Its pseudo-inverse", r"M M^{+} " + (r"= I" if m.full else r"\neq I"), text, [("M⁺", m.columns, m.rows)]
    )


def _first(m: Side, rank: int) -> Step:
    text = f"Θ₁ is {m.columns:,} × {2 * rank:,}: for each of P's {rank:,} columns two hidden units, one with each sign."
    matrices = [("P", m.rows, rank), ("Θ₁", m.columns, 2 * rank)]
    return Step("What goes into the network", r"\Theta_1 = M^{+}\,[P,\allowbreak\,-P]", text, matrices)


def _split(m: Side, rank: int) -> Step:
    equation = rf"{RELU}(M\Theta_1) {_equals(m)} [{RELU}(P),\allowbreak\,{RELU}(-P)]"
    text = f"{m.rows:,} × {2 * rank:,}, nothing negative: P's positive entries on the left, negative ones on the right."
    rest = "" if m.full else " Here it splits what the projection has left of P, which is another matrix."
    return Step("σ splits it by sign", equation, text + rest, [("ReLU(MΘ₁)", m.rows, 2 * rank)])


def _last(m: Side, rank: int) -> Step:
    equation = rf"{RELU}(M\Theta_1)\allowbreak\,\Theta_2 {_equals(m)} {RELU}(P)\,Q - {RELU}(-P)\,Q = P Q"
    text = (
        f"Θ₂ = [Q; −Q] is {2 * rank:,} × {m.columns:,}. It puts both parts together again, to an update of "
        f"{m.rows:,} × {m.columns:,}."
    )
    matrices = [("Θ₂", 2 * rank, m.columns), ("PQ", m.rows, m.columns)]
    return Step("What comes out", equation, text, matrices)


def _missed(m: Side) -> Step:
    equation = r"\lVert \Delta W_{\mathrm{NEAT}} - P Q \rVert_F \,/\, \lVert P Q \rVert_F"
    reason = "rounding, for PQ itself comes out" if m.full else "a part of PQ is out of reach"
    return Step("The error", equation, f"{m.error:.2g}: {reason}.", [])


def _equals(m: Side) -> str:
    return "=" if m.full else r"\approx"

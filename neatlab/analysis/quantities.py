"""QUANTITIES: what is measured of one ΔW, and how tables, axes and the terminal name and round it. Free of torch."""

from typing import NamedTuple

EXPLODED = 0.5  # ‖ΔW‖/‖W₀‖ from which the weight is no longer the pretrained one


class Quantity(NamedTuple):
    """One row of QUANTITIES.

    Args:
        label: Its name in tables and over panels.
        axis: Its name on an axis, with the definition; all are without a unit.
        digits: Digits after the point in tables.
        heading: Its name over a narrow column.
        spec: How the terminal writes it.
        random: The column with the value that random directions give; None where there is none.
    """

    label: str
    axis: str
    digits: int
    heading: str
    spec: str
    random: str | None = None


QUANTITIES: dict[str, Quantity] = {
    "rank": Quantity("rank", "ceiling on the rank of ΔW", 0, "rank", "{:.0f}"),
    "norm": Quantity("‖ΔW‖", "‖ΔW‖_F", 4, "‖ΔW‖", "{:.4g}"),
    "relative_norm": Quantity("‖ΔW‖/‖W₀‖", "‖ΔW‖_F/‖W₀‖_F", 4, "/‖W₀‖", "{:.2%}"),
    "effective_rank": Quantity(
        "effective rank", "effective rank exp(−Σ p ln p)", 2, "eff. rank", "{:.2f}", "random_effective_rank"
    ),
    "stable_rank": Quantity("stable rank", "stable rank Σσ²/σ₁²", 2, "stable rank", "{:.2f}", "random_stable_rank"),
    "participation_ratio": Quantity(
        "participation ratio", "participation ratio (Σσ²)²/Σσ⁴", 2, "part. ratio", "{:.2f}"
    ),
    "energy_rank_90": Quantity("90 % in", "directions that hold 90 % of Σσ²", 0, "90 % in", "{:.0f}"),
    "amplification": Quantity(
        "amplification", "amplification ‖ΔW‖_F/‖UᵀW₀V‖_F", 2, "amplif.", "{:.3g}", "random_amplification"
    ),
    "overlap_left": Quantity(
        "overlap, left", "overlap ‖AᵀB‖²_F/min(i, j), left", 3, "overlap L", "{:.3f}", "random_overlap_left"
    ),
    "overlap_right": Quantity(
        "overlap, right", "overlap ‖AᵀB‖²_F/min(i, j), right", 3, "overlap R", "{:.3f}", "random_overlap_right"
    ),
    "intruders": Quantity("intruders", "intruder dimensions", 0, "intruders", "{:.0f}", "random_intruders"),
    "dead_units": Quantity("dead hidden units", "dead hidden units", 0, "dead units", "{:.0f}"),
}

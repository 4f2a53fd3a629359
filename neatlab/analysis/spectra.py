"""What a weight update looks like: its singular values and the numbers that sum them up."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from neatlab.adapters.factors import Factors

NAN = float("nan")


@dataclass(frozen=True)
class Spectrum:
    """Singular values σ of one ΔW, largest first. All quantities are NaN where ΔW = 0.

    Args:
        singular_values: σ, on the CPU in float64.
    """

    singular_values: Tensor

    @cached_property
    def _energy(self) -> Tensor:
        return self.singular_values.square()

    @property
    def is_zero(self) -> bool:
        """Whether ΔW = 0, the reason for a NaN in the other quantities."""
        return not bool(self._energy.sum() > 0)

    @property
    def effective_rank(self) -> float:
        """exp(−Σ p ln p), p = σ/Σσ (Roy & Vetterli 2007)."""
        if self.is_zero:
            return NAN
        p = self.singular_values / self.singular_values.sum()
        return float(torch.special.entr(p).sum().exp())

    @property
    def stable_rank(self) -> float:
        """Σσ²/σ₁²."""
        return NAN if self.is_zero else float(self._energy.sum() / self._energy.max())

    @property
    def participation_ratio(self) -> float:
        """(Σσ²)²/Σσ⁴."""
        return NAN if self.is_zero else float(self._energy.sum() ** 2 / self._energy.square().sum())

    @property
    def norm(self) -> float:
        """‖ΔW‖_F."""
        return float(self._energy.sum().sqrt())

    def energy_rank(self, share: float = 0.9) -> float:
        """How many leading directions hold `share` of Σσ²."""
        if self.is_zero:
            return NAN
        total = self._energy.cumsum(0) / self._energy.sum()
        return float((total < share).sum() + 1)


def spectrum(delta: Factors | Tensor) -> Spectrum:
    """The spectrum of ΔW, from its thin factors where it has them, else by a dense SVD.

    Args:
        delta: `Factors`, or ΔW itself (d_out × d_in).

    Returns:
        Its r or min(d_out, d_in) leading singular values.
    """
    if isinstance(delta, Factors):
        return Spectrum(delta.singular_values().cpu())
    return Spectrum(torch.linalg.svdvals(delta.detach().double()).cpu())

"""A matrix stored as the product of two thin factors."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Factors:
    """ΔW = left @ right, never built unless asked for.

    Args:
        left: d_out × r; products are several times faster where it is a transposed r × d_out tensor.
        right: r × d_in.
    """

    left: Tensor
    right: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(d_out, d_in) of the product."""
        return self.left.shape[0], self.right.shape[1]

    @property
    def rank(self) -> int:
        """r, the ceiling on the rank of the product."""
        return self.left.shape[1]

    def to(self, dtype: torch.dtype) -> "Factors":
        """The factors in another precision."""
        return (
            self if self.left.dtype == self.right.dtype == dtype else Factors(self.left.to(dtype), self.right.to(dtype))
        )

    def add_to(self, result: Tensor, x: Tensor) -> Tensor:
        """result + x ΔWᵀ, in O(n r (d_in + d_out)) and one pass over the output.

        The thin factors take the output's precision, never the activations the factors': a float32
        copy of x is what makes a LoRA on a bfloat16 base heavy.

        Args:
            result: … × d_out, the base layer's output.
            x: … × d_in, the base layer's input.

        Returns:
            … × d_out, in the dtype of `result`.
        """
        left, right = self.to(result.dtype).left, self.to(result.dtype).right  # d_out × r, r × d_in
        thin = x.to(result.dtype).reshape(-1, x.shape[-1]) @ right.T  # n × r
        flat = result.reshape(-1, result.shape[-1])  # n × d_out
        return torch.addmm(flat, thin, left.T).view(result.shape)

    def apply(self, x: Tensor) -> Tensor:
        """x ΔWᵀ for x of … × d_in, giving … × d_out."""
        return (x @ self.right.T) @ self.left.T  # … × r, then … × d_out

    def dense(self) -> Tensor:
        """The product itself, d_out × d_in. Costs O(r d_out d_in) time and d_out d_in memory."""
        return self.left @ self.right

    def minus(self, other: "Factors") -> "Factors":
        """ΔW − ΔW′ as factors of both ranks together, in this one's precision."""
        left, right = other.left.to(self.left.dtype), other.right.to(self.right.dtype)
        return Factors(torch.cat([self.left, -left], 1), torch.cat([self.right, right]))

    def singular_values(self) -> Tensor:
        """The r leading singular values of ΔW in float64, largest first.

        With thin QR left = Q₁R₁ and rightᵀ = Q₂R₂, ΔW = Q₁ (R₁R₂ᵀ) Q₂ᵀ has the singular values of
        the r × r core: O((d_out + d_in) r²) instead of O(d_out d_in min(d_out, d_in)).
        """
        _, core, _ = self._core
        return torch.linalg.svdvals(core)

    def svd(self) -> tuple[Tensor, Tensor, Tensor]:
        """Thin SVD (U: d_out × r, S: r, Vᵀ: r × d_in) in float64, from the factors alone."""
        q_left, core, q_right = self._core
        u, s, vh = torch.linalg.svd(core, full_matrices=False)  # r × r, r, r × r
        return q_left @ u, s, vh @ q_right.T

    def norm(self) -> Tensor:
        """‖ΔW‖_F in float64."""
        return self.singular_values().square().sum().sqrt()

    @cached_property
    def grams(self) -> tuple[Tensor, Tensor]:
        """leftᵀ left and right rightᵀ, both r × r, in float64."""
        thin = Factors(self.left.detach(), self.right.detach()).to(torch.float64)
        return thin.left.T @ thin.left, thin.right @ thin.right.T

    @cached_property
    def _core(self) -> tuple[Tensor, Tensor, Tensor]:
        left, right = self.left.detach().double(), self.right.detach().double()
        q_left, r_left = torch.linalg.qr(left)  # d_out × r, r × r
        q_right, r_right = torch.linalg.qr(right.T)  # d_in × r, r × r
        return q_left, r_left @ r_right.T, q_right


class FactorsSvd:
    """Singular values of thin factors, and the part of ΔW in some of its directions, without an orthonormal basis.

    With roots RᵀR of the Gram matrices of left and rightᵀ and the small SVD R₁R₂ᵀ = U S Vᵀ, left R₂ᵀV and UᵀR₁ right
    are the left singular vectors and the right ones, each times S. That is several times faster than `Factors.svd`,
    and directions below 1e-8 of the first are rounding.

    Args:
        factors: ΔW; computed in float64.
    """

    def __init__(self, factors: Factors) -> None:
        self.factors = factors
        gram_left, gram_right = factors.grams
        # Columns of equal size on both sides: a small one beside a large partner would drown in the Gram matrix.
        sizes = (gram_right.diagonal() / gram_left.diagonal()).sqrt().sqrt()
        self._balance = torch.where(torch.isfinite(sizes) & (sizes > 0), sizes, 1.0)  # r
        outer = torch.outer(self._balance, self._balance)
        self._left, self._right = _root(gram_left * outer), _root(gram_right / outer)  # r × r
        count = min(factors.rank, *factors.shape)
        u, s, vh = torch.linalg.svd(self._left @ self._right.T)
        self._u, self.values, self._vh = u[:, :count], s[:count], vh[:count]

    def select(self, indices: Tensor | slice) -> Factors:
        """ΔW in these directions alone (0 is the first), as factors √σ·u and √σ·vᵀ of equal size."""
        sigma = self.values[indices]  # k
        tiny = torch.finfo(sigma.dtype).eps * float(self.values.max())
        inverse = torch.where(sigma > tiny, sigma.clamp(min=tiny).rsqrt(), 0.0)
        to_left = self._balance[:, None] * (self._right.T @ self._vh[indices].T * inverse)  # r × k
        to_right = (self._u[:, indices] * inverse).T @ self._left / self._balance  # k × r
        thin = self.factors.to(torch.float64)
        return Factors(thin.left @ to_left, to_right @ thin.right)


def _root(gram: Tensor) -> Tensor:
    """R with RᵀR = G, also of a G that is not quite positive."""
    values, vectors = torch.linalg.eigh(gram)
    return values.clamp(min=0).sqrt()[:, None] * vectors.T


Delta = Factors | Tensor

"""How curved the loss is over some parameters: the largest eigenvalue of its Hessian, from products with vectors.

By Lanczos' iteration, which needs no more per step than power iteration. Where an adapter's last factor starts at zero
its Hessian is [[0, C], [Cᵀ, H]] over (the factors before, the last): negative eigenvalues nearly as large as the
positive ones, between which power iteration does not settle; and it would report the largest in absolute value.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from neatlab.runtime.environment import keep_random_state, seed_random

MAX_PRODUCTS = 20
TOLERANCE = 0.05  # relative; the rates of a grid lie a factor of three apart
ADAM_EPSILON = 1e-8
RATE_FACTOR = 0.022  # fitted by benchmarks/sharpness_rates.py

Product = Callable[[Tensor], Tensor]


class Curvature:
    """The Hessian of a loss over some parameters, where they are when this is made.

    Holds the graph of each gradient, so that a product costs one backward pass. The parameters' own `grad` and the
    process's random state are left alone.

    Args:
        losses: One a batch, each gives a scalar; the Hessian is that of their mean.
        parameters: What the loss is differentiated by.
        seed: Seed of what the losses draw, such as dropout, and of the first vector of the iteration.
    """

    def __init__(
        self, losses: Iterable[Callable[[], Tensor]], parameters: Sequence[torch.nn.Parameter], seed: int = 0
    ) -> None:
        self._parameters, self._seed = list(parameters), seed
        self._device = self._parameters[0].device
        # Of attention's kernels the composed one alone can be differentiated twice.
        with keep_random_state(self._device), sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
            seed_random(self._device, seed)
            self._gradients = [self._flat(loss(), create_graph=True) for loss in losses]  # each n

    def product(self, vector: Tensor) -> Tensor:
        """H v, n."""
        parts = [self._flat(g, vector, retain_graph=True) for g in self._gradients if g.requires_grad]
        return sum(parts, torch.zeros_like(vector)) / len(self._gradients)

    def sharpness(self, products: int = MAX_PRODUCTS, tolerance: float = TOLERANCE) -> float:
        """The largest eigenvalue λ of H."""
        return largest_eigenvalue(self.product, self._start(), products, tolerance)

    def preconditioned(self, products: int = MAX_PRODUCTS, tolerance: float = TOLERANCE) -> float:
        """The largest eigenvalue of D^{-1/2} H D^{-1/2}, D = √(mean g²) + ε over the batches' gradients g.

        That is Adam's preconditioner in its first steps, and this the quantity whose size limits its learning rate
        (Cohen et al., "Adaptive Gradient Methods at the Edge of Stability", arXiv:2207.14484). Parameters without a
        gradient are left out: Adam does not move them yet.
        """
        squares = torch.stack([g.detach() ** 2 for g in self._gradients]).mean(0)  # n
        scale = torch.where(squares > 0, (squares.sqrt() + ADAM_EPSILON).rsqrt(), 0)
        return largest_eigenvalue(lambda v: scale * self.product(scale * v), scale * self._start(), products, tolerance)

    def greedy_rate(self) -> float:
        """The rate at which the quadratic model of the loss is lowest along Adam's first step, ‖g‖₁ / sᵀHs, s = sign g.

        As the quadratically greedy tuner of Roulet et al., "Stepping on the Edge" (arXiv:2407.06183); NaN where the
        model has no lowest point.
        """
        gradient = torch.stack([g.detach() for g in self._gradients]).mean(0)  # n
        sign = gradient.sign()
        curvature = float(sign @ self.product(sign))
        return float(gradient.abs().sum()) / curvature if curvature > 0 else math.nan

    def _flat(self, output: Tensor, vector: Tensor | None = None, **options: bool) -> Tensor:
        """The gradient of ⟨output, vector⟩, n."""
        parts = torch.autograd.grad(output, self._parameters, vector, materialize_grads=True, **options)
        return torch.cat([part.reshape(-1) for part in parts])

    def _start(self) -> Tensor:
        count, dtype = sum(p.numel() for p in self._parameters), self._parameters[0].dtype
        drawn = torch.randn(count, generator=torch.Generator().manual_seed(self._seed), dtype=dtype)
        return drawn.to(self._device)


def suggested_rate(sharpness: float) -> float:
    """The peak learning rate of AdamW that a Hessian's largest eigenvalue λ suggests, c/√λ; NaN where λ ≤ 0.

    Gradient descent is stable up to 2/λ. Adam is not ruled by λ, and 1/λ predicts its best rate badly; of the rules
    tried in benchmarks/sharpness_rates.py this one came nearest.
    """
    return RATE_FACTOR / math.sqrt(sharpness) if sharpness > 0 else math.nan


def largest_eigenvalue(
    product: Product, start: Tensor, products: int = MAX_PRODUCTS, tolerance: float = TOLERANCE
) -> float:
    """The largest eigenvalue of a symmetric matrix by Lanczos' iteration with full reorthogonalisation.

    Args:
        product: Multiplies the matrix by a vector of n.
        start: First vector, n.
        products: Most products; where they do not suffice the value is below the eigenvalue.
        tolerance: Residual of the eigenpair, relative to the value, at which the iteration ends.

    Returns:
        The eigenvalue; NaN where the matrix or the start has values that are not finite, or the start is zero.
    """
    basis, diagonal, off_diagonal = [start / start.norm()], list[float](), list[float]()
    value = math.nan
    for _ in range(min(products, start.numel())):
        image = product(basis[-1])
        diagonal.append(float(basis[-1] @ image))
        rest = _orthogonal(image, torch.stack(basis))
        residual = float(rest.norm())
        if not math.isfinite(diagonal[-1] + residual):
            return math.nan
        value, weight = _top(diagonal, off_diagonal)
        if residual * weight <= tolerance * abs(value):
            return value
        off_diagonal.append(residual)
        basis.append(rest / residual)
    return value


def _orthogonal(vector: Tensor, basis: Tensor) -> Tensor:
    """`vector` without its part in the span of `basis` (k × n); twice, for rounding leaves some of it."""
    for _ in range(2):
        vector = vector - basis.T @ (basis @ vector)
    return vector


def _top(diagonal: Sequence[float], off_diagonal: Sequence[float]) -> tuple[float, float]:
    """Largest eigenvalue of a symmetric tridiagonal matrix, and the size of its eigenvector's last entry."""
    off = torch.tensor(off_diagonal, dtype=torch.double)
    matrix = torch.tensor(diagonal, dtype=torch.double).diag() + off.diag(1) + off.diag(-1)
    values, vectors = torch.linalg.eigh(matrix)
    return float(values[-1]), abs(float(vectors[-1, -1]))

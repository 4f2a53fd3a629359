"""A start of Θ₁ at which H is as large as the matrix that LoRA draws, so that both take steps of one size."""

import math
from collections.abc import Callable

from torch import Tensor

HALVINGS = 40  # of a bracket: beyond float32's precision
FARTHEST = 2.0**60


def calibration(product: Tensor, hidden: Callable[[Tensor], Tensor], target: float) -> float:
    """c with rms H(c · Θ₁ᵀW₀) = target.

    Proportion is exact where σ is positively homogeneous, such as ReLU; otherwise the first crossing is bracketed by
    doublings and halved.

    Args:
        product: Θ₁ᵀW₀, r × n.
        hidden: Hᵀ (r × n) from such a product; 0 of 0.
        target: The root mean square that H is to have.

    Returns:
        c; 1 where H is 0 or not finite, and the largest c looked at where H stays below the target.
    """

    def size(c: float) -> float:
        return float(hidden(product * c).square().mean().sqrt())

    drawn = size(1.0)
    if drawn == 0 or not math.isfinite(drawn):
        return 1.0
    if math.isclose(size(target / drawn), target, rel_tol=1e-5):
        return target / drawn
    return _crossing(size, target)


def _crossing(size: Callable[[float], float], target: float) -> float:
    high = 1.0
    while size(high) < target and high < FARTHEST:
        high *= 2
    low = high / 2
    while size(low) > target and low > 1 / FARTHEST:
        low /= 2
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if size(middle) < target else (low, middle)
    return high

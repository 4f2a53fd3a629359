"""ACTIVATIONS: the σ that forms offer and figures draw, a row each; neither torch nor PEFT is needed to list them.

A NEAT layer takes more by name: every key of transformers' ACT2FN.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Activation(NamedTuple):
    """One row of ACTIVATIONS.

    Args:
        values: σ of an array, element by element.
        compared: Whether grids and lessons offer it; the others are close relatives of one that they do.
    """

    values: Callable[[Array], Array]
    compared: bool = True


def _sigmoid(x: Array) -> Array:
    return (1 + np.tanh(x / 2)) / 2


def _gelu(x: Array) -> Array:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(lambda x: np.maximum(x, 0)),
    "gelu": Activation(_gelu),
    "silu": Activation(lambda x: x * _sigmoid(x)),
    "tanh": Activation(np.tanh),
    "sigmoid": Activation(_sigmoid, compared=False),
    "leaky_relu": Activation(lambda x: np.where(x > 0, x, 0.01 * x), compared=False),
    "sin": Activation(np.sin),
    "linear": Activation(lambda x: x),
}
COMPARED = tuple(name for name, row in ACTIVATIONS.items() if row.compared)

"""What a metric is computed from: the true and the predicted value of each example."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)  # arrays that are compared give arrays; see `same_examples`
class Outcomes:
    """One entry an example, in the split's order, which is the same in every run of a task.

    A class is its index, a regression's value the number itself. An answer that is right or wrong as a whole is 1
    in `true`, and 1 or 0 in `predicted`. The metric is a row of METRICS on the two.

    Args:
        true: What each example should give (n).
        predicted: What the model gave (n).
    """

    true: NDArray[np.float32]
    predicted: NDArray[np.float32]

    @classmethod
    def of(cls, true: ArrayLike, predicted: ArrayLike) -> Self:
        """From any sequences of numbers, one each an example."""
        return cls(np.asarray(true, np.float32), np.asarray(predicted, np.float32))

    @classmethod
    def answers(cls, right: ArrayLike) -> Self:
        """From whether each answer is right as a whole."""
        return cls.of(np.ones(np.shape(right)), right)

    def __len__(self) -> int:
        return len(self.true)


def same_examples(a: Outcomes, b: Outcomes) -> bool:
    """Whether both can be of the same examples, so that they pair: as many, with the same true values."""
    return np.array_equal(a.true, b.true)

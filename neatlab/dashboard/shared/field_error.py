"""The refusal of one field of the form."""

from typing import Literal

from neatlab.errors import BadInput

Part = Literal["a", "b", "c", "d", "run"]


class Refusal(BadInput):
    """Something that cannot be trained.

    Args:
        part: Where the mistake is: one of the arms, or the settings of the run.
        message: What was wrong and what is allowed.
    """

    def __init__(self, part: Part, message: str) -> None:
        super().__init__(message)
        self.part = part

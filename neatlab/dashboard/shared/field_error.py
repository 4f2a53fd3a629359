"""Input that is refused, and the field of the form that it is about."""

from neatlab.errors import BadInput


class FieldError(BadInput):
    """Input that cannot be used.

    Args:
        field: The field that the message stands next to, such as "b" for arm B or "run" for the settings of a run.
        message: What was wrong and what is allowed.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field

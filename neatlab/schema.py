"""One schema for form, URL, command line and file: bounds are enforced here, and nowhere else."""

import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from neatlab.errors import BadInput, shown, unknown

STORED = {"stored": True}  # pydantic's context for `Schema.restore`


class Schema(BaseModel):
    """A frozen, validated record; `parse` turns every refusal into one line."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any], what: str) -> Self:
        """Validate `values`.

        Args:
            values: Field names and values; strings are converted ("4" to 4).
            what: Whose options they are, for the message, such as "arm 'neat'".

        Returns:
            The record.

        Raises:
            BadInput: An unknown field, or a value out of its range.
        """
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for name in values:
            if name not in names:
                raise unknown(f"option of {what}", name, names)
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            message = _plain(_lower_first(first["msg"].removeprefix("Value error, ")), first["input"])
            field = ".".join(str(part) for part in first["loc"])  # empty where a rule over several fields refused
            where = f"{field}={shown(first['input'])}: " if field else ""
            raise BadInput(f"{what}: {where}{message}") from None

    @classmethod
    def restore(cls, values: Mapping[str, Any]) -> Self:
        """The record of values that were validated when they were stored: rules that take a library are left out.

        Raises:
            ValidationError: A value that the fields alone refuse.
        """
        return cls.model_validate(values, context=STORED)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Field → default, for the fields that have any."""
        fields = cls.model_fields.items()
        return {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}

    @classmethod
    def non_default(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of `values` that are not their field's default."""
        defaults = cls.defaults()
        return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}


def parse_pairs(parts: list[str], what: str) -> dict[str, str]:
    """Name → value of parts of the form "name=value".

    Raises:
        BadInput: A part of another form, or a name given twice.
    """
    pairs: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise BadInput(f"{what}: {part!r} is not of the form name=value, such as rank=4")
        if name in pairs:
            raise BadInput(f"{what}: {name} is given twice")
        pairs[name] = value
    return pairs


def _plain(message: str, value: Any) -> str:
    """pydantic's words for a text that is no number, without those about parsing; a decimal comma is named."""
    message = message.partition(", unable to parse")[0]
    is_comma = isinstance(value, str) and re.fullmatch(r"[+-]?\d*,\d+", value.strip()) is not None
    return f"{message}, with a decimal point: {value.strip().replace(',', '.')}" if is_comma else message


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]

"""Plain values whose repeated parts are written once: from one moment to the next most of a chart stays the same."""

from collections import Counter
from hashlib import blake2b
from typing import Any

import orjson

LEAST = 64  # bytes of a part that is worth it
MARK = "="  # {"=": 3} stands for parts[3]


def shared_parts(value: Any) -> tuple[Any, list[Any]]:
    """The value with marks in the place of what it holds more than once.

    Args:
        value: Of dictionaries, lists and what JSON has besides.

    Returns:
        The value, and the parts that the marks stand for; these hold no marks.
    """
    counts: Counter[bytes] = Counter()
    _count(value, counts)
    parts: list[Any] = []
    return _marked(value, counts, {}, parts), parts


def _count(value: Any, counts: Counter[bytes]) -> None:
    """Count every part; what is in a repeated one is counted once."""
    key = _key(value)
    if key is not None:
        counts[key] += 1
    if key is None or counts[key] == 1:
        for part in _inner(value):
            _count(part, counts)


def _marked(value: Any, counts: Counter[bytes], places: dict[bytes, int], parts: list[Any]) -> Any:
    key = _key(value)
    if key is not None and counts[key] > 1:
        if key not in places:
            places[key] = len(parts)
            parts.append(value)
        return {MARK: places[key]}
    if isinstance(value, dict):
        return {name: _marked(part, counts, places, parts) for name, part in value.items()}
    return [_marked(part, counts, places, parts) for part in value] if isinstance(value, list) else value


def _inner(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _key(value: Any) -> bytes | None:
    """What a part is recognised by; None for one that is too short, or no list and no dictionary."""
    if not isinstance(value, dict | list):
        return None
    text = orjson.dumps(value)
    return blake2b(text, digest_size=16).digest() if len(text) >= LEAST else None

"""Matched budgets: for each arm, the size whose adapter parameter count comes nearest to a given one."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import gcd
from typing import Any

from annotated_types import Le

from neatlab.adapters.methods import METHODS, Method
from neatlab.errors import BadInput
from neatlab.schema import Schema

Shapes = Mapping[str, tuple[int, int]]

TOLERANCE = 0.1


def adapter_count(method: str, options: Schema, shapes: Shapes) -> int:
    """Adapter parameters of a method on layers of the given shapes, by formula.

    Args:
        method: A key of METHODS.
        options: Its options.
        shapes: Layer name → (d_out, d_in).

    Raises:
        BadInput: A layer that cannot hold the options, or a method whose count other things determine.
    """
    row = METHODS[method]
    if row.params is None:
        raise BadInput(f"{method} trains the whole model: its parameter count cannot be a budget or meet one")
    return sum(times * row.params(options, *shape) for shape, times in Counter(shapes.values()).items())


def match_params(method: str, options: Schema, shapes: Shapes, budget: int) -> Schema:
    """The options with the size (rank, n_frequency, block_size) whose count is nearest to `budget`.

    Args:
        method: A key of METHODS.
        options: Its options; everything but the size is kept.
        shapes: Layer name → (d_out, d_in).
        budget: Adapter parameters wanted, over all layers.

    Returns:
        Options of the same type; of two sizes equally near, the smaller.

    Raises:
        BadInput: Nothing comes within 10 %; names what comes closest.
    """
    row = METHODS[method]
    if row.size is None:
        _check_near(method, "nothing sets its size", adapter_count(method, options, shapes), budget)
        return options
    counts = _counts(method, row, options, shapes, budget)
    if not counts:
        raise BadInput(f"{method}: no {row.size} fits every target layer")
    best = min(counts, key=lambda size: (abs(counts[size] - budget), size))
    _check_near(method, f"closest is {row.size}={best}", counts[best], budget)
    return _with_size(options, row.size, best)


def matched(arms: Sequence[tuple[str, Schema, Shapes]], budget: int | None = None) -> list[Schema]:
    """The options of every arm at one parameter count.

    Args:
        arms: Method, options and the shapes of the layers that it adapts, of each arm.
        budget: The count; that of the first arm as it is given by default, which then stays as it is.

    Returns:
        Options, an arm each, in order.

    Raises:
        BadInput: An arm that cannot come within 10 % of it.
    """
    if budget is not None:
        return [match_params(*arm, budget) for arm in arms]
    (first, given, shapes), *others = arms
    budget = adapter_count(first, given, shapes)
    return [given, *(match_params(*other, budget) for other in others)]


def _counts(method: str, row: Method, options: Schema, shapes: Shapes, budget: int) -> dict[int, int]:
    """Size → parameter count, for each size that every layer can hold."""
    counts = {}
    for size in _SIZES[str(row.size)](type(options), shapes, budget):
        try:
            counts[size] = adapter_count(method, _with_size(options, str(row.size), size), shapes)
        except BadInput:
            continue
    return counts


def _with_size(options: Schema, name: str, size: int) -> Schema:
    return type(options)(**{**options.model_dump(), name: size})


def _ranks(schema: type[Schema], shapes: Shapes, budget: int) -> Iterable[int]:
    """All of them: the count need not rise with the rank, as in LoKr."""
    longest_side = max(max(shape) for shape in shapes.values())
    return range(1, min(_upper_bound(schema, "rank"), max(longest_side, budget // len(shapes))) + 1)


def _frequencies(schema: type[Schema], shapes: Shapes, budget: int) -> Iterable[int]:
    """The two around an equal share; the smallest layer holds the number down."""
    share = min(budget // len(shapes), min(d_out * d_in for d_out, d_in in shapes.values()))
    return [size for size in (share, share + 1) if 1 <= size <= _upper_bound(schema, "n_frequency")]


def _blocks(schema: type[Schema], shapes: Shapes, budget: int) -> Iterable[int]:
    common = gcd(*(d_in for _, d_in in shapes.values()))
    limit = min(common, _upper_bound(schema, "block_size"))
    return [size for size in range(2, limit + 1) if common % size == 0]


def _upper_bound(schema: type[Schema], name: str) -> int:
    metadata: list[Any] = schema.model_fields[name].metadata
    bound: Any = next(part.le for part in metadata if isinstance(part, Le))
    return int(bound)


_SIZES: dict[str, Callable[[type[Schema], Shapes, int], Iterable[int]]] = {
    "rank": _ranks,
    "n_frequency": _frequencies,
    "block_size": _blocks,
}


def _check_near(method: str, closest: str, count: int, budget: int) -> None:
    if abs(count - budget) > TOLERANCE * budget or count == 0:
        share = f"{100 * (count / budget - 1):+.0f} %" if budget else "the budget is 0"
        raise BadInput(
            f"{method} has no size within {TOLERANCE * 100:.0f} % of {budget:,} adapter parameters; "
            f"{closest}: {count:,} ({share})"
        )

"""What is said of a user's data: how it was read, what is learnt of it, and what else could be."""

from collections import Counter
from collections.abc import Sequence

from neatlab.tasks.base import size
from neatlab.tasks.custom import columns
from neatlab.tasks.custom.dialects import decimal_mark, parse_numbers
from neatlab.tasks.custom.options import CustomOptions
from neatlab.tasks.custom.readers import Rows
from neatlab.tasks.sequences import Encoded

MAX_LABELS = 8  # that a note names


def rows(name: str, part: Rows) -> list[str]:
    """How many rows a split has, and how they were read."""
    count = len(part.frame)
    sample = f", a sample of {count:,} kept" if count < part.total else ""
    read = [f"{name} data: {part.dialect.note}"] if part.dialect else []
    return [f"{name} data: {part.total:,} rows{sample}", *read]


def target(options: CustomOptions, train: Rows, order: Sequence[str]) -> list[str]:
    """Columns, kind and metric; the labels or numbers; what else the column of labels could be learnt as."""
    others = alternatives(options.kind, train, options.label) if options.label else []
    offer = [f"{options.label!r} can also be learnt as {' or '.join(f'kind={kind}' for kind in others)}"] * bool(others)
    if order:
        return [_columns(options), _labels(order), _counts(columns.named_labels(train, options.label)), *offer]
    return [_columns(options), *([_numbers(options, train)] if options.is_regression else []), *offer]


def alternatives(kind: str, train: Rows, label: str) -> list[str]:
    """The other kinds that a table of texts could be learnt as, by its column of labels."""
    if kind not in ("labels", "regression"):
        return []
    cells = train.frame[label].tolist()
    if kind == "labels":
        numbers = parse_numbers(cells, train.separator) or []
        return ["regression"] * (label not in train.label_names and len(set(numbers)) > 2)
    return ["labels"] * (min(Counter(map(str, cells)).values()) >= columns.MIN_EXAMPLES)


def truncation(options: CustomOptions, name: str, part: Encoded) -> str:
    """How many texts were too long."""
    return f"{name} data: {part.truncated:,} of {size(part.batch):,} texts cut off at {options.max_length} tokens"


def _columns(options: CustomOptions) -> str:
    roles = {"text": options.text, "second text": options.pair, "image": options.image, "label": options.label}
    named = [f"{role} from {column!r}" for role, column in roles.items() if column]
    prompt = [f"prompt {options.prompt!r}"] if options.prompt else []
    return f"{options.kind}: {', '.join([*named, *prompt])}; judged by {options.measure.name}"


def _labels(order: Sequence[str]) -> str:
    named = ", ".join(f"{index} = {label}" for index, label in enumerate(order[:MAX_LABELS]))
    return f"{len(order)} labels: {named}" + (", …" if len(order) > MAX_LABELS else "")


def _counts(labels: Sequence[str]) -> str:
    counts = Counter(labels).most_common()
    named = ", ".join(f"{label} {count:,}" for label, count in counts[:MAX_LABELS])
    return f"examples a label: {named}" + (", …" if len(counts) > MAX_LABELS else "")


def _numbers(options: CustomOptions, train: Rows) -> str:
    cells = train.frame[options.label].tolist()
    numbers = parse_numbers(cells, train.separator) or [0.0]
    commas = ", read with decimal commas" * (decimal_mark([str(cell).strip() for cell in cells]) == ",")
    scaled = f"; the model learns ({options.label} − {options.center:g}) / {options.scale:g}"
    learnt = scaled if (options.center, options.scale) != (0.0, 1.0) else ""
    return f"numbers from {min(numbers):g} to {max(numbers):g}{commas}{learnt}"

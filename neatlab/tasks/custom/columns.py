"""Which columns of a table are text and label, and what the labels are: guessed and checked."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from neatlab.errors import BadInput, shown, unknown
from neatlab.runtime.lazy import lazy
from neatlab.tasks.custom.dialects import first_misfit, looks_continuous, parse_numbers
from neatlab.tasks.custom.images import IMAGE
from neatlab.tasks.custom.readers import Rows

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

TEXTS = ("text", "sentence", "content", "question", "query", "prompt", "instruction", "input", "review", "title")
LABELS = ("label", "labels", "category", "class", "target", "intent", "sentiment", "output", "answer", "response")
SCORES = ("score", "rating", "stars", "grade", "price", "value", "y")
MAX_TEMPLATE = 30  # columns of numbers that are read as one text
MAX_NUMBER = 1e30
MIN_EXAMPLES = 4  # examples a label: three splits and one to spare
PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def check_columns(frame: "pd.DataFrame", names: Sequence[str], where: str) -> None:
    """Refuse a column that is not there.

    Raises:
        BadInput: Names the columns that are.
    """
    for name in names:
        if name not in frame.columns:
            raise unknown(f"column of {where}", name, map(str, frame.columns))


def guess_text(frame: "pd.DataFrame", taken: Sequence[str]) -> str:
    """A column with a usual name, else the one with the longest texts, numbers aside.

    Raises:
        BadInput: No column holds text.
    """
    named = _named(frame, TEXTS, taken)
    texts = [c for c in frame.columns if c not in taken and _holds_words(frame[c].tolist())]
    if named or texts:
        return named or str(max(texts, key=lambda name: frame[name].str.len().mean()))
    raise BadInput(f"no column holds text; columns: {', '.join(map(str, frame.columns))}")


def holds_text(frame: "pd.DataFrame", taken: Sequence[str]) -> bool:
    """Whether `guess_text` finds a column."""
    left = [c for c in frame.columns if c not in taken]
    return bool(_named(frame, TEXTS, taken)) or any(_holds_words(frame[c].tolist()) for c in left)


def _holds_words(cells: Sequence[Any]) -> bool:
    is_text = all(isinstance(cell, str) for cell in cells)
    return is_text and any(cell.strip() for cell in cells) and parse_numbers(cells) is None


def template(frame: "pd.DataFrame", label: str) -> str:
    """All columns but the label as one text, for a table without texts.

    Raises:
        BadInput: No other column, or more than fit one text.
    """
    names = [str(c) for c in frame.columns if c != label and any(str(cell).strip() for cell in frame[c])]
    if not names or len(names) > MAX_TEMPLATE:
        raise BadInput(
            f"no column holds text, and {len(names)} columns beside {label!r} cannot be read as one; "
            f"allowed: 1 to {MAX_TEMPLATE}"
        )
    return ", ".join(f"{name}: {{{name}}}" for name in names)


def guess_label(frame: "pd.DataFrame", taken: Sequence[str]) -> str:
    """A column with a usual name, else the one with the fewest values, at least two, else the last one of decimals.

    Raises:
        BadInput: Nothing is left to be the label.
    """
    named = _named(frame, LABELS, taken) or _named(frame, SCORES, taken)
    counts = {c: frame[c].astype(str).nunique() for c in frame.columns if c not in taken}
    several = [name for name, count in counts.items() if 1 < count < max(len(frame), 3)]
    if named or several:
        return named or str(min(several, key=lambda name: counts[name]))
    if decimals := [name for name in counts if counts[name] > 1 and has_decimals(frame[name].tolist())]:
        return str(decimals[-1])
    raise BadInput(f"no column can be the label; columns: {', '.join(map(str, frame.columns))}; give label=")


def has_decimals(cells: Sequence[Any]) -> bool:
    """Whether these are numbers, and not all of them whole."""
    return any(not number.is_integer() for number in parse_numbers(cells) or [])


def guess_image(frame: "pd.DataFrame") -> str:
    """The column of images, or "" where there is none."""
    held = [str(c) for c in frame.columns if isinstance(frame[c].iloc[0], dict) and "bytes" in frame[c].iloc[0]]
    return IMAGE if IMAGE in frame.columns else next(iter(held), "")


def _named(frame: "pd.DataFrame", usual: Sequence[str], taken: Sequence[str]) -> str:
    known = {str(c).lower(): str(c) for c in frame.columns if c not in taken}
    return next((known[name] for name in usual if name in known), "")


def texts(rows: Rows, column: str, where: str) -> list[str]:
    """A column's texts.

    Raises:
        BadInput: Rows without text; names the first.
    """
    values = ["" if value is None or value != value else str(value) for value in rows.frame[column]]
    empty = [index for index, value in enumerate(values) if not value.strip()]
    if empty:
        raise BadInput(f"{where}: {len(empty)} rows have no text in {column!r}, the first is row {empty[0] + 1}")
    return values


def fill(template: str, rows: Rows) -> list[str]:
    """The template with each row's values in the place of {column}."""
    columns = [rows.frame[name] for name in PLACEHOLDER.findall(template)]
    parts = PLACEHOLDER.split(template)[::2]
    return ["".join(_woven(parts, values)) for values in zip(*columns, strict=True)]


def _woven(parts: Sequence[str], values: Sequence[Any]) -> list[str]:
    cells = ["" if value is None or value != value else str(value) for value in values]
    return [piece for pair in zip(parts, [*cells, ""], strict=True) for piece in pair]


def named_labels(rows: Rows, column: str) -> list[str]:
    """Each row's label as a name; whole numbers stand for themselves where the data set has no names for them."""
    names = rows.label_names.get(column)
    values = rows.frame[column].tolist()
    if names:
        return [names[int(value)] if 0 <= int(value) < len(names) else str(value) for value in values]
    return [_plain(value) for value in values]


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def label_order(labels: Sequence[str], where: str) -> list[str]:
    """The labels in their order: numbers by size, names by the alphabet.

    Raises:
        BadInput: One label only, an empty one, or one with too few examples to split.
    """
    counts = pd.Series(labels).value_counts()
    names = [str(label) for label in counts.index]
    if "" in names or "nan" in names or "None" in names:
        raise BadInput(f"{where}: rows without a label")
    if len(names) < 2:
        raise BadInput(f"{where}: every row has the label {names[0]!r}; to classify takes two or more")
    rare = [label for label in names if counts[label] < MIN_EXAMPLES]
    if rare:
        are_numbers = parse_numbers(names) is not None
        hint = "; to learn them as numbers take kind=regression" if are_numbers else "; leave out its rows or join it"
        count = f"{counts[rare[0]]} example{'' if counts[rare[0]] == 1 else 's'}"
        raise BadInput(f"{where}: label {rare[0]!r} has {count}; each needs at least {MIN_EXAMPLES}{hint}")
    numbers = all(re.fullmatch(r"-?\d+", label) for label in names)
    return sorted(names, key=int) if numbers else sorted(names)


def model_order(labels: Sequence[str], known: dict[int, str]) -> list[str]:
    """The labels of a classifier that is trained already, by its outputs.

    Raises:
        BadInput: The data have labels that the model does not know.
    """
    order = [known[output] for output in sorted(known)]
    if {*labels} <= {str(output) for output in known}:
        return [str(output) for output in sorted(known)]
    outside = sorted({*labels} - {*order})
    if outside:
        raise BadInput(
            f"labels outside the model's: {', '.join(outside[:5])}; it knows {', '.join(order[:10])}; "
            "new_head=true trains a new classifier in its place"
        )
    return order


def numbered(labels: Sequence[str], order: Sequence[str], where: str) -> list[int]:
    """Each label's index in `order`.

    Raises:
        BadInput: A label that is not in it.
    """
    indices = {label: index for index, label in enumerate(order)}
    outside = sorted({*labels} - {*order})
    if outside:
        raise BadInput(f"{where}: labels that the training data lack: {', '.join(outside[:5])}")
    return [indices[label] for label in labels]


def real_numbers(rows: Rows, column: str, where: str) -> list[float]:
    """A column of targets for a regression.

    Raises:
        BadInput: A value that is not a number.
    """
    cells = rows.frame[column].tolist()
    numbers = parse_numbers(cells, rows.separator)
    index = first_misfit(cells) if numbers is None else _first_huge(numbers)
    if numbers is None or index < len(cells):
        raise BadInput(
            f"{where}: {column!r} is not a finite number in row {index + 1}: {shown(str(cells[index]))}; "
            "allowed: numbers such as 3.165 or 3,165, written alike in the whole column"
        )
    return numbers


def _first_huge(numbers: Sequence[float]) -> int:
    return next((index for index, number in enumerate(numbers) if not abs(number) < MAX_NUMBER), len(numbers))


def is_continuous(rows: Rows, column: str) -> bool:
    """Whether a column of labels is to be learnt as numbers; labels that have names are classes."""
    return column not in rows.label_names and looks_continuous(rows.frame[column].tolist(), rows.separator)

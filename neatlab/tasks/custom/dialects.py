"""How a table of text is written, found out from the file itself: encoding, separator and decimal mark."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from neatlab.runtime.lazy import lazy

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
ONE_COLUMN = "\x1f"  # ASCII's own separator of fields, which no text holds
ENCODINGS = {"utf-8-sig": "UTF-8", "cp1252": "Windows-1252", "utf-16": "UTF-16"}
SAMPLE_BYTES, SAMPLE_ROWS = 2**18, 100
PIECE_BYTES = 2**20
EXCEL_HINT = re.compile(r"sep=(.)\s*\r?\n", re.IGNORECASE)  # the line that tells Excel the separator
POINT = re.compile(r"[+-]?(?:[0-9]+|[1-9][0-9]{0,2}(?:[,'\s][0-9]{3})+)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
COMMA = re.compile(r"[+-]?(?:[0-9]+|[1-9][0-9]{0,2}(?:[.'\s][0-9]{3})+)?(?:,[0-9]*)?(?:[eE][+-]?[0-9]+)?")
MIN_NUMBERS = 20  # whole ones that are to be learnt as numbers where most are different
DIGIT = re.compile(r"[0-9]")


class Dialect(NamedTuple):
    """How a table of text is written.

    Args:
        encoding: Python's name of the encoding.
        separator: What stands between two columns.
        skipped: Lines before the header.
    """

    encoding: str = "utf-8-sig"
    separator: str = ","
    skipped: int = 0

    @property
    def note(self) -> str:
        """The dialect in words."""
        columns = SEPARATORS.get(self.separator)
        apart = f"columns separated by {columns}" if columns else "one column"
        return f"read as {ENCODINGS[self.encoding]}, {apart}"


def dialect(path: Path) -> Dialect:
    """How the file is written.

    Raises:
        ValueError: It is no text, or in an encoding that is not tried.
    """
    status = path.stat()
    return _dialect(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _dialect(path: Path, size: int, mtime: int) -> Dialect:
    encoding = _encoding(path)
    with open(path, encoding=encoding, newline="") as file:
        text = file.read(SAMPLE_BYTES)
    if hint := EXCEL_HINT.match(text):
        return Dialect(encoding, hint[1], 1)
    is_whole = len(text) < SAMPLE_BYTES
    return Dialect(encoding, _separator(text if is_whole else text[: text.rfind("\n") + 1] or text))


def _encoding(path: Path) -> str:
    """UTF-8, UTF-16 with its mark, or Windows-1252, of which Latin-1's letters are a part: the first that fits."""
    with open(path, "rb") as file:
        start = file.read(SAMPLE_BYTES)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if start.startswith(b"PK\x03\x04"):
        raise ValueError("it is an Excel workbook or a zip; save it as CSV")
    if b"\0" in start:
        raise ValueError("it is not text; give a table with a line a row, such as a spreadsheet saved as CSV")
    fitting = (encoding for encoding in ("utf-8-sig", "cp1252") if _decodes(path, encoding))
    if encoding := next(fitting, None):
        return encoding
    raise ValueError("its letters are neither UTF-8 nor Windows-1252 (Latin-1); save it as CSV in UTF-8")


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with open(path, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _separator(text: str) -> str:
    """The one by which most rows have as many columns as the header, at least two."""
    fits = {separator: _fit(text, separator) for separator in SEPARATORS}
    best = max(fits, key=lambda separator: fits[separator])
    return best if fits[best] > (0, 0) else ONE_COLUMN


def _fit(text: str, separator: str) -> tuple[float, int]:
    """The share of rows as wide as the header, and the header's width; nothing where that is one column."""
    widths: list[int] = []
    with suppress(csv.Error):  # an open quotation mark; pandas names its row
        for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), SAMPLE_ROWS):
            widths += [len(row)] * bool(row)
    if not widths or widths[0] < 2:
        return (0, 0)
    return (sum(width == widths[0] for width in widths) / len(widths), widths[0])


def read_table(path: Path, rows: int) -> "Iterator[pd.DataFrame]":
    """The file in pieces of so many rows, every cell as text; rows without any text are left out.

    Raises:
        ValueError: A row with more columns than the header, or an open quotation mark; says which.
    """
    encoding, separator, skipped = dialect(path)
    settings: dict[str, Any] = {"sep": separator, "encoding": encoding, "skiprows": skipped}
    try:
        with pd.read_csv(path, dtype=str, keep_default_na=False, chunksize=rows, **settings) as reader:
            for piece in reader:
                if not isinstance(piece.index, pd.RangeIndex):  # pandas takes what is too much for names of rows
                    raise ValueError("its rows have more columns than its first line, which names them")
                yield piece[(piece != "").any(axis=1)]
    except pd.errors.ParserError as error:
        raise ValueError(_plain(str(error))) from error
    except pd.errors.EmptyDataError as error:
        raise ValueError("it is empty") from error


def _plain(message: str) -> str:
    """What the parser says, for those who see a table and no parser."""
    if ragged := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message):
        expected, line, seen = ragged.groups()
        return (
            f"line {line} has {seen} columns, the first has {expected}; put texts that hold the separator in "
            "quotation marks, or save the table anew as CSV"
        )
    if quote := re.search(r"inside string starting at row (\d+)", message):
        return f'row {quote[1]} begins a quotation mark (") that is never closed'
    return message.strip().splitlines()[0]


def parse_numbers(cells: Iterable[object], separator: str = ",") -> list[float] | None:
    """A column's numbers, or None where a cell is none.

    Args:
        cells: Numbers, or texts with decimal points or decimal commas, and signs or spaces between thousands.
        separator: Between the table's columns: "3,165" is 3165 where that is a comma, as in an English table, and 3.165
            elsewhere.
    """
    texts = _texts(cells)
    mark = decimal_mark(texts, separator)
    if mark is None:
        return None
    thousands = re.compile(r"[,'\s]" if mark == "." else r"[.'\s]")
    return [float(thousands.sub("", text).replace(mark, ".")) for text in texts]


def _texts(cells: Iterable[object]) -> list[str]:
    return [str(cell).strip().replace("−", "-") for cell in cells]


def decimal_mark(texts: Sequence[str], separator: str = ",") -> str | None:
    """ "." or ",", as these texts write decimals; None where one of them is no number."""
    if not texts or not all(DIGIT.search(text) for text in texts):
        return None
    is_point, is_comma = (all(map(pattern.fullmatch, texts)) for pattern in (POINT, COMMA))
    if is_point and is_comma:
        return "," if separator != "," and any("," in text for text in texts) else "."
    return "." if is_point else "," if is_comma else None


def first_misfit(cells: Iterable[object]) -> int:
    """The first cell with which these are not numbers, all with the same decimal mark; their count where they are."""
    texts = _texts(cells)
    fits = ([bool(DIGIT.search(text) and pattern.fullmatch(text)) for text in texts] for pattern in (POINT, COMMA))
    return max((fit.index(False) if False in fit else len(fit)) for fit in fits)


def looks_continuous(cells: Sequence[object], separator: str = ",") -> bool:
    """Whether a column is to be learnt as numbers: one is no whole number, or hardly any comes twice."""
    numbers = parse_numbers(cells, separator)
    if numbers is None:
        return False
    return any(number != int(number) for number in numbers if abs(number) < 1e15) or (
        len(numbers) >= MIN_NUMBERS and len(set(numbers)) > len(numbers) / 2
    )

"""Tables that people bring: CSV, TSV, JSON, JSON lines and Parquet files, folders of them by split, `datasets` names.

Files are read in pieces, so that a large one costs no more memory than the rows that are kept of it.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
from huggingface_hub import HfApi, constants

from neatlab.errors import BadInput
from neatlab.runtime.lazy import lazy
from neatlab.tasks.custom.dialects import Dialect, dialect, read_table
from neatlab.tasks.pretrained import HUB_NAME, HUB_SECONDS, asking_the_hub, file_digest

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

TABLES = (".csv", ".tsv")
READABLE = (*TABLES, ".jsonl", ".ndjson", ".json", ".parquet")
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods")
MAX_BYTES = 4 * 2**30
MAX_JSON_BYTES = 512 * 2**20  # of a .json file, which cannot be read in pieces
MAX_COLUMNS = 1000  # of a table
MAX_LINE_BYTES = 2**24  # of a line of JSON, and of the first of a table: how many columns it has
CHUNK_ROWS = 20_000  # rows
HEAD_ROWS = 200  # rows from which columns are guessed
EXTRA = "pip install '.[datasets]' in neatlab's folder"


class Source(NamedTuple):
    """Where one split's rows come from: files, or a split of a `datasets` name."""

    files: tuple[Path, ...]
    dataset: tuple[str, str, str] = ("", "", "")  # name, subset, split

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return str(self.files[0]) if self.files else "/".join(filter(None, self.dataset))


class Rows(NamedTuple):
    """Rows of a source.

    Args:
        frame: The rows.
        total: How many the source has in all.
        label_names: Column → names of labels that are stored as numbers.
        dialect: How a table of text is written; None of other sources.
    """

    frame: "pd.DataFrame"
    total: int
    label_names: dict[str, list[str]]
    dialect: Dialect | None = None

    @property
    def separator(self) -> str:
        """What stands between two columns, by which a comma in a number is understood."""
        return self.dialect.separator if self.dialect else ","


def find_source(data: str, subset: str, split: str) -> Source:
    """The files or data set that hold a split.

    Args:
        data: A file; a folder with `split*.csv` and the like, in itself, in `subset` or in "data"; or a name.
        subset: A folder in it, or the configuration of a data set.
        split: Which split of a folder or data set; a file is one whole.

    Raises:
        BadInput: There is no such thing, or it is too large.
    """
    path = Path(data).expanduser()
    if path.is_file():
        return Source((_checked(path),))
    if path.is_dir():
        files = split_files(path, subset, split)
        if not files:
            wanted = f"{split}*.csv, .jsonl, .json or .parquet"
            raise BadInput(f"folder {data} holds neither images by class nor {wanted}")
        return Source(tuple(_checked(file) for file in files))
    if _is_path(data):
        raise BadInput(f"no file or folder {data!r}")
    if find_spec("datasets") is None:
        raise BadInput(f"no file or folder {data!r}; for a data set of the hub: {EXTRA}")
    return Source((), (data, subset, split))


def is_gone(data: str) -> bool:
    """Whether this can only be the path of a file or folder, and nothing is there."""
    return _is_path(data) and not Path(data).expanduser().exists()


def _is_path(data: str) -> bool:
    return Path(data).suffix.lower() in READABLE or not HUB_NAME.fullmatch(data) or data.startswith(".")


def split_files(folder: Path, subset: str, split: str) -> list[Path]:
    """The tables of a split in a folder, as people and the hub lay them out."""
    for directory in (folder / subset, folder / subset / "data", folder, folder / "data"):
        files = sorted(directory.glob(f"{split}*")) if directory.is_dir() else []
        if readable := [file for file in files if file.suffix.lower() in READABLE]:
            return readable
    return []


def _checked(path: Path) -> Path:
    kind, size = path.suffix.lower(), path.stat().st_size
    if kind not in READABLE:
        hint = "; save the workbook as CSV" if kind in WORKBOOKS else ""
        raise BadInput(f"{path} is none of {', '.join(READABLE)}{hint}")
    limit = MAX_JSON_BYTES if kind == ".json" else MAX_BYTES
    if size > limit:
        raise BadInput(
            f"{path} has {size / 2**20:,.0f} MiB; at most {limit / 2**20:,.0f} MiB of a {kind} file are read"
        )
    if kind == ".parquet" and find_spec("pyarrow") is None:
        raise BadInput(f"{path}: to read Parquet, {EXTRA}")
    return path


def digest(source: Source) -> str:
    """Sixteen hexadecimal digits that change with the content."""
    if not source.files:
        return hashed([str(source.dataset), _dataset(source)._fingerprint])
    return hashed(file_digest(file) for file in source.files)


def hashed(parts: Iterable[str]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 over some texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def split_names(name: str, subset: str) -> list[str]:
    """The splits of a data set of the hub."""
    return list(_asked(name, lambda datasets: datasets.get_dataset_split_names(name, subset or None)))


def head(source: Source) -> Rows:
    """The first rows, from which columns are guessed.

    Raises:
        BadInput: The file cannot be read, or has no rows.
    """
    if not source.files:
        return read(source, HEAD_ROWS, 0)
    first = next(_pieces(source, HEAD_ROWS), pd.DataFrame())
    if first.empty:
        raise BadInput(f"{source.name} has no rows")
    return Rows(first.head(HEAD_ROWS), len(first), {}, _dialect(source))


def read(source: Source, limit: int, seed: int) -> Rows:
    """At most `limit` rows, in their order; where there are more, a sample drawn from `seed`.

    Raises:
        BadInput: A file that cannot be read, named with the reason.
    """
    if not source.files:
        return _read_dataset(source, limit, seed)
    generator, total = np.random.default_rng(seed), 0
    sample, keys = pd.DataFrame(), np.array([])
    for piece in _pieces(source, CHUNK_ROWS):
        frame = pd.concat([sample, piece], ignore_index=True) if total else piece.reset_index(drop=True)
        total += len(piece)
        keys = np.concatenate([keys, generator.random(len(piece))])
        indices = np.sort(np.argsort(keys, kind="stable")[:limit])
        sample, keys = frame.iloc[indices].reset_index(drop=True), keys[indices]
    if not total:
        raise BadInput(f"{source.name} has no rows")
    return Rows(sample, total, {}, _dialect(source))


def _dialect(source: Source) -> Dialect | None:
    return dialect(source.files[0]) if source.files[0].suffix.lower() in TABLES else None


def _pieces(source: Source, rows: int) -> "Iterator[pd.DataFrame]":
    for path in source.files:
        try:
            yield from _pieces_of(path, rows)
        except (OSError, ValueError, TypeError, KeyError, UnicodeError) as error:
            raise BadInput(f"{path} cannot be read: {str(error).strip().splitlines()[0]}") from error


def _pieces_of(path: Path, rows: int) -> "Iterator[pd.DataFrame]":
    kind = path.suffix.lower()
    if kind in TABLES:
        _check_first_line(path, dialect(path).separator.encode())
        yield from read_table(path, rows)
    elif kind == ".parquet":
        from pyarrow.parquet import ParquetFile

        with ParquetFile(path) as file:
            _check_columns(file.metadata.num_columns)
            yield from (batch.to_pandas() for batch in file.iter_batches(rows))
    elif kind == ".json":
        yield pd.DataFrame(_records(orjson.loads(path.read_bytes())))
    else:
        with open(path, "rb") as lines:
            yield from _json_lines(lines, rows)


def _json_lines(lines: Any, rows: int) -> "Iterator[pd.DataFrame]":
    records: list[Any] = []
    columns: set[str] = set()
    for number, line in enumerate(_lines(lines), 1):
        if line.strip():
            try:
                records.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise ValueError(f"line {number}: {error}") from None
            columns.update(records[-1] if isinstance(records[-1], dict) else ())
            _check_columns(len(columns))
        if len(records) == rows:
            yield pd.DataFrame(_records(records))
            records = []
    if records:
        yield pd.DataFrame(_records(records))


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"a line of it has more than {MAX_LINE_BYTES:,} bytes, the limit")
        yield line


def _records(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError("it is not a list of objects, one a row")
    _check_columns(len({name for row in value for name in row}))
    return value


def _check_first_line(path: Path, separator: bytes) -> None:
    """Refuse a table with too many columns before its reader makes something of each."""
    with open(path, "rb") as file:
        _check_columns(next(_lines(file), b"").count(separator) + 1)


def _check_columns(count: int) -> None:
    if count > MAX_COLUMNS:
        raise ValueError(f"it has {count:,} columns or more; allowed: {MAX_COLUMNS:,}")


def _dataset(source: Source) -> Any:
    name, subset, split = source.dataset
    return _asked(name, lambda datasets: datasets.load_dataset(name, subset or None, split=split))


def _asked(name: str, call: Callable[[Any], Any]) -> Any:
    """What `call` makes of the `datasets` library: from its cache, else from the hub if that answers."""
    import datasets

    before = constants.HF_HUB_OFFLINE
    try:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
        return call(datasets)
    except Exception:  # not in the cache
        constants.HF_HUB_OFFLINE = before
    try:
        with asking_the_hub():
            HfApi().dataset_info(name, timeout=HUB_SECONDS)  # the library itself waits for minutes
            datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE
            return call(datasets)
    except Exception as error:  # whatever the network or the data set's reader raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        way = f"`hf download --repo-type dataset {name} --local-dir DIR` and data=DIR"
        raise BadInput(f"data set {name}: {reason}; without a network: {way}") from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _read_dataset(source: Source, limit: int, seed: int) -> Rows:
    dataset = _dataset(source)
    names = {column: feature.names for column, feature in dataset.features.items() if hasattr(feature, "names")}
    total = len(dataset)
    if total > limit:
        dataset = dataset.select(np.sort(np.random.default_rng(seed).permutation(total)[:limit]))
    return Rows(dataset.with_format(None).to_pandas(), total, names)

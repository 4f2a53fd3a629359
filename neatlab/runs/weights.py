"""A run's weights as two files: what they are as JSON, and the numbers behind it, a frame of one length a step.

weights.json  names, shapes and kinds of the layers, and a mark
weights.bin   the mark, what is stored once, then a frame a step

A matrix is stored in half precision as shares of its largest entry, so that neither small nor large ones are lost.
"""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neatlab.analysis.weight_frames import KINDS, SINGLE, Kind, Matrices, WeightsBegun, WeightsMeasured
from neatlab.errors import StoreError
from neatlab.runs.run import read_json
from neatlab.runs.writer import write_json
from neatlab.runtime.files import open_regular

HEADER, NUMBERS = "weights.json", "weights.bin"
VERSION = 1
MAX_BYTES = 2**26  # of a file that is read; more than a run writes
MARK_BYTES = 16

Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]  # layer → part → shape
Part = NDArray[np.float32]


def begin_weights(folder: Path, begun: WeightsBegun) -> None:
    """Write what a run is going to store, before its first frame."""
    mark, base = uuid.uuid4().hex, {name: layer.base for name, layer in begun.layers.items()}
    layers = [
        {"name": name, "shape": layer.shape, "kind": layer.kind, "parts": layer.parts, "base": shapes}
        for (name, layer), shapes in zip(begun.layers.items(), _shapes(base).values(), strict=True)
    ]
    (folder / NUMBERS).write_bytes(bytes.fromhex(mark) + _packed(base))
    write_json(folder / HEADER, {"version": VERSION, "mark": mark, "note": begun.note, "layers": layers})


def append_weights(folder: Path, measured: WeightsMeasured) -> None:
    """Write one frame, visible to readers at once; none where nothing was begun, as by an older version."""
    if not (folder / HEADER).exists():
        return
    with open(folder / NUMBERS, "ab", buffering=0) as file:
        file.write(_packed(measured.layers, measured.step))


def cut_weights(folder: Path, step: int) -> None:
    """Remove the frames after `step`, where a run that was interrupted goes on; all of them where they are damaged."""
    try:
        stored = read_weights(folder)
    except StoreError:
        stored = None
    if stored is None:
        (folder / HEADER).unlink(missing_ok=True)
    else:
        os.truncate(folder / NUMBERS, stored.end_of(step))


def read_weights(folder: Path) -> "StoredWeights | None":
    """What a run stores of its weights; None where it stores none, as older runs do.

    Raises:
        StoreError: The files are damaged.
    """
    if not (folder / HEADER).exists():
        return None
    header = read_json(folder / HEADER)
    try:
        return StoredWeights(folder / NUMBERS, header)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise StoreError(f"{folder / NUMBERS} cannot be read: {str(error).splitlines()[0]}") from error


class StoredWeights:
    """A run's weights as far as they are written, read part by part.

    Args:
        path: The file of the numbers.
        header: What it says of them.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        if header["version"] != VERSION:
            raise ValueError(f"version {header['version']!r}; this version reads {VERSION}")
        layers = {str(entry["name"]): entry for entry in header["layers"]}
        self.note = str(header["note"])
        self.kinds: dict[str, Kind] = {name: KINDS[KINDS.index(entry["kind"])] for name, entry in layers.items()}
        self.shapes = {name: _sides(entry["shape"]) for name, entry in layers.items()}
        self._path = path
        self._spectra: dict[str, NDArray[np.float32]] = {}
        self._base = _layout({name: entry["base"] for name, entry in layers.items()})
        self._frame = _layout({name: entry["parts"] for name, entry in layers.items()}, has_step=True)
        self._start = MARK_BYTES + self._base.itemsize
        self.steps = self._read_steps(bytes.fromhex(header["mark"]))

    @property
    def layers(self) -> list[str]:
        """Names of the layers, in the model's order."""
        return list(self.kinds)

    def index_at(self, step: int | None) -> int | None:
        """Index of the last frame up to `step`, or of the last of all; None where there is none."""
        count = len(self.steps) if step is None else int(np.searchsorted(self.steps, step, side="right"))
        return count - 1 if count else None

    def end_of(self, step: int) -> int:
        """Bytes up to the end of the last frame up to `step`."""
        index = self.index_at(step)
        return self._offset(0 if index is None else index + 1)

    def base(self, layer: str) -> dict[str, Part]:
        """What is stored of a layer once: "weight", and where the task knows it "true" and "true_sigma"."""
        with self._open() as file:
            return _read(file, MARK_BYTES, self._base, self.layers.index(layer))

    def frame(self, index: int, layer: str) -> dict[str, Part]:
        """All parts of a layer in one frame."""
        with self._open() as file:
            return _read(file, self._offset(index), self._frame, self.layers.index(layer))

    def sigma(self, index: int) -> dict[str, Part]:
        """Layer → singular values of ΔW in one frame."""
        with self._open() as file:
            at = self._offset(index)
            return {layer: _read(file, at, self._frame, i, ("sigma",))["sigma"] for i, layer in enumerate(self.layers)}

    def spectra(self, layer: str) -> NDArray[np.float32]:
        """Singular values of a layer's ΔW in every frame, frames × min(r, d_out, d_in); read once."""
        if layer not in self._spectra:
            self._spectra[layer] = self._read_spectra(layer)
        return self._spectra[layer]

    def _read_spectra(self, layer: str) -> NDArray[np.float32]:
        index = self.layers.index(layer)
        with self._open() as file:
            read = [
                _read(file, self._offset(i), self._frame, index, ("sigma",))["sigma"] for i in range(len(self.steps))
            ]
        return np.array(read, np.float32).reshape(len(self.steps), -1)

    def _offset(self, index: int) -> int:
        return self._start + index * self._frame.itemsize

    def _open(self) -> BinaryIO:
        return open_regular(self._path, MAX_BYTES)

    def _read_steps(self, mark: bytes) -> NDArray[np.uint32]:
        with self._open() as file:
            size = os.fstat(file.fileno()).st_size
            if file.read(MARK_BYTES) != mark or size < self._start:
                raise ValueError(f"it is not the one that {HEADER} was written with")
            count = (size - self._start) // self._frame.itemsize
            return np.array([_number(file, self._offset(index)) for index in range(count)], np.uint32)


def _packed(layers: Mapping[str, Matrices], step: int | None = None) -> bytes:
    """The matrices one after the other, each with its scale; before them the step, where there is one."""
    block = np.zeros((), _layout(_shapes(layers), step is not None))
    if step is not None:
        block["step"] = step
    for index, parts in enumerate(layers.values()):
        for part, matrix in parts.items():
            largest = np.abs(matrix, where=np.isfinite(matrix), out=np.zeros(matrix.shape)).max(initial=0.0)
            scale = 1.0 if part in SINGLE or not largest else largest
            block[f"{index}.{part}"], block[f"{index}.{part}.scale"] = matrix / scale, scale
    return block.tobytes()


def _shapes(layers: Mapping[str, Matrices]) -> dict[str, dict[str, tuple[int, ...]]]:
    return {name: {part: matrix.shape for part, matrix in parts.items()} for name, parts in layers.items()}


def _layout(shapes: Shapes, has_step: bool = False) -> np.dtype:
    """Where each part lies in a block."""
    fields: list[Any] = [("step", "<u4")] if has_step else []
    for index, parts in enumerate(shapes.values()):
        for part, shape in parts.items():
            kind = "<f4" if part in SINGLE else "<f2"
            fields += [(f"{index}.{part}", kind, tuple(shape)), (f"{index}.{part}.scale", "<f4")]
    layout = np.dtype(fields)
    if not 0 <= layout.itemsize <= MAX_BYTES:
        raise ValueError(f"a block of {layout.itemsize:,} bytes; allowed: up to {MAX_BYTES:,}")
    return layout


def _read(file: BinaryIO, start: int, layout: np.dtype, index: int, wanted: tuple[str, ...] = ()) -> dict[str, Part]:
    """Parts of a layer out of a block, all or those that are wanted."""
    fields: Mapping[str, Any] = layout.fields or {}
    names = [name.split(".")[1] for name in fields if name.startswith(f"{index}.") and not name.endswith(".scale")]
    return {part: _matrix(file, start, fields, f"{index}.{part}") for part in names if not wanted or part in wanted}


def _matrix(file: BinaryIO, start: int, fields: Mapping[str, Any], name: str) -> Part:
    dtype, offset = fields[name][:2]
    file.seek(start + offset)
    content = file.read(dtype.itemsize + 4)  # the scale lies behind it
    values = np.frombuffer(content[:-4], dtype.base).reshape(dtype.shape)
    return values.astype(np.float32) * np.frombuffer(content[-4:], "<f4")[0]


def _number(file: BinaryIO, offset: int) -> int:
    file.seek(offset)
    return int.from_bytes(file.read(4), "little")


def _sides(shape: Any) -> tuple[int, int]:
    d_out, d_in = map(int, shape)
    return d_out, d_in

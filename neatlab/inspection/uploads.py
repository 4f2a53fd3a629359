"""Adapters from strangers: a zip or the two files of an adapter, opened within limits and cleaned up after."""

import os
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from neatlab.errors import BadInput
from neatlab.inspection.adapter_folder import CONFIG, TENSORS
from neatlab.inspection.image_file import image_file
from neatlab.inspection.origin import MAX_ORIGIN_BYTES, ORIGIN
from neatlab.inspection.weights import MAX_JSON_BYTES, headers
from neatlab.runtime.files import PathLike, is_pickle

MAX_BYTES = 2**30  # bytes of weights
MAX_MEMBERS = 1000
MAX_TENSORS = 10_000  # of an adapter: those of 5,000 layers
CHUNK = 2**20


@contextmanager
def open_upload(upload: PathLike | Sequence[PathLike], max_bytes: int = MAX_BYTES) -> Iterator[Path]:
    """An uploaded adapter as a folder that is gone when the block ends, whatever happens in it.

    Of a zip, adapter_config.json and adapter_model.safetensors are taken, which must lie in one folder of it, with
    neatlab.json where that is there; nothing else is unpacked.

    Args:
        upload: A zip, the two files, or a LoRA file as Kohya, Diffusers or ComfyUI writes it.
        max_bytes: Bytes of weights to take at most, counted while they are unpacked.

    Yields:
        A folder for `inspect`.

    Raises:
        BadInput: Not an adapter, pickled weights, paths that lead elsewhere, or more than the limits allow.
    """
    files = [Path(upload)] if isinstance(upload, str | os.PathLike) else [Path(file) for file in upload]
    limits = {CONFIG: min(MAX_JSON_BYTES, max_bytes), TENSORS: max_bytes}
    with tempfile.TemporaryDirectory(prefix="neatlab-upload-") as temporary:
        folder = Path(temporary) / "adapter"
        folder.mkdir()
        try:
            if len(files) == 1 and zipfile.is_zipfile(files[0]):
                _unzip(files[0], folder, limits)
            elif len(files) == 1 and files[0].suffix == ".safetensors":
                _copy_image(files[0], folder, max_bytes)
            else:
                _copy(files, folder, limits)
        except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
            raise BadInput(f"the upload is damaged: {str(error) or type(error).__name__}; make it again") from error
        _check_count(folder / TENSORS)
        yield folder


def _check_count(file: Path) -> None:
    """Refuse an adapter that takes minutes for its number of layers alone, before any is built."""
    if (count := len(headers(file))) > MAX_TENSORS:
        raise BadInput(f"{file.name} holds {count:,} tensors; allowed in an upload: {MAX_TENSORS:,}")


def allowed_folder(path: PathLike, roots: Sequence[PathLike]) -> Path:
    """A folder that lies under one of the allowed roots, links followed.

    Args:
        path: What was asked for.
        roots: Where it may lie.

    Raises:
        BadInput: It does not, or is no folder.
    """
    wanted, allowed = Path(path).resolve(), [Path(root).resolve() for root in roots]
    if not any(wanted.is_relative_to(root) for root in allowed):
        raise BadInput(f"folder {os.fspath(path)!r}; allowed: folders under {', '.join(map(str, allowed))}")
    if not wanted.is_dir():
        raise BadInput(f"{os.fspath(path)!r} is no folder; give an adapter folder")
    return wanted


def _copy(files: Sequence[Path], folder: Path, limits: dict[str, int]) -> None:
    by_name = {file.name: file for file in files}
    _check_names(list(by_name))
    for name, limit in limits.items():
        with open(by_name[name], "rb") as source:
            copy_limited(source, folder / name, limit)


def _copy_image(file: Path, folder: Path, limit: int) -> None:
    """A LoRA file of the image world, which needs no configuration."""
    with open(file, "rb") as source:
        copy_limited(source, folder / TENSORS, limit)
    if image_file(folder) is None:
        raise BadInput(f"the upload holds no {CONFIG} and is no LoRA file; give a zip of both files, or both")


def _unzip(archive: Path, folder: Path, limits: dict[str, int]) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        if len(members) > MAX_MEMBERS:
            raise BadInput(f"the zip holds {len(members):,} files; allowed: {MAX_MEMBERS:,}, and two are needed")
        for member in members:
            check_member(member)
        wanted = _adapter_members(members)
        for name, limit in {**limits, **({ORIGIN: MAX_ORIGIN_BYTES} if ORIGIN in wanted else {})}.items():
            if wanted[name].file_size > limit:
                raise BadInput(f"{name} unpacks to {wanted[name].file_size:,} bytes; allowed: {limit:,}")
            with opened.open(wanted[name]) as source:
                copy_limited(source, folder / name, limit)


def check_member(member: zipfile.ZipInfo) -> None:
    """Refuse a member that leads out of its folder, is a link, or is encrypted.

    Raises:
        BadInput: Says which.
    """
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        raise BadInput(f"the zip holds the path {member.filename!r}, which leads out of its folder")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise BadInput(f"the zip holds a link, {member.filename!r}; give the file itself")
    if member.flag_bits & 1:
        raise BadInput(f"{member.filename!r} in the zip is encrypted; give it without a password")


def _adapter_members(members: Sequence[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The two files; the one configuration says which folder they are in."""
    configs = [PurePosixPath(m.filename) for m in members if PurePosixPath(m.filename).name == CONFIG]
    if len(configs) > 1:
        raise BadInput(f"the zip holds {len(configs)} adapters, such as {configs[0]} and {configs[1]}; give one")
    parent = configs[0].parent if configs else PurePosixPath()
    siblings = [m for m in members if PurePosixPath(m.filename).parent == parent and not m.is_dir()]
    names = [PurePosixPath(m.filename).name for m in siblings]
    _check_names(names)
    return dict(zip(names, siblings, strict=True))


def _check_names(names: Sequence[str]) -> None:
    for name in (CONFIG, TENSORS):
        if names.count(name) > 1:
            raise BadInput(f"the upload holds {name} twice")
        if name not in names:
            pickled = [name for name in names if is_pickle(name)]
            reason = f"; {pickled[0]} is pickled, which can run code when opened and is refused" if pickled else ""
            raise BadInput(f"the upload holds no {name}{reason}; give a zip of both files, or both")


def copy_limited(source: IO[bytes], target: Path, limit: int) -> int:
    """Copy at most `limit` bytes, and say how many: what a header says of the size is not trusted.

    Raises:
        BadInput: There are more.
    """
    taken = 0
    with open(target, "wb") as file:
        while chunk := source.read(CHUNK):
            taken += len(chunk)
            if taken > limit:
                raise BadInput(f"{target.name} has more than {limit:,} bytes, which is the limit")
            file.write(chunk)
    return taken

"""Images that people bring: folders by class, and columns of tables; read by Pillow, shaped for the model."""

import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neatlab.errors import BadInput
from neatlab.runtime.lazy import lazy

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image
    from transformers import PreTrainedConfig
else:
    pd, Image = lazy("pandas"), lazy("PIL.Image")

processing = lazy("transformers.image_processing_utils")

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
SUFFIXES = (".bmp", ".gif", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
IMAGE, CLASS = "image", "class"
MAX_NAMED = 3  # broken images that a message names


class Shape(NamedTuple):
    """What the model takes: side in pixels, channels, mean and standard deviation a channel."""

    side: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def image_shape(folder: Path, config: "PreTrainedConfig") -> Shape:
    """The input of the model in `folder`: size from its configuration, mean and deviation from its preprocessor's."""
    side = getattr(config, "image_size", 224)
    channels = int(getattr(config, "num_channels", 3))
    settings: dict[str, Any] = {}
    if (folder / "preprocessor_config.json").exists():
        settings, _ = processing.BaseImageProcessor.get_image_processor_dict(folder, local_files_only=True)
    mean, std = (tuple(settings.get(name) or [0.5] * channels)[:channels] for name in ("image_mean", "image_std"))
    return Shape(int(side if isinstance(side, int) else side[0]), channels, mean, std)


def class_folder(path: Path, split: str = "") -> Path | None:
    """The folder whose subfolders are classes with images: `path/split` if there is one, else `path`."""
    for folder in (path / split, path) if split else (path,):
        if folder.is_dir() and any(next(_images(f), None) for f in sorted(folder.iterdir()) if f.is_dir()):
            return folder
    return None


def list_images(folder: Path) -> "pd.DataFrame":
    """One row an image of a folder by class: its path and its class."""
    rows = [(str(file), part.name) for part in sorted(folder.iterdir()) if part.is_dir() for file in _images(part)]
    return pd.DataFrame(rows, columns=[IMAGE, CLASS])


def _images(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES)


def pixels(values: Sequence[Any], root: Path, shape: Shape) -> Tensor:
    """Images as bytes, n × channels × side × side: the shorter side resized, the middle taken.

    Args:
        values: Paths, relative ones from `root`; or dictionaries with "bytes" or "path", as data sets hold them.
        root: Folder that relative paths start at.
        shape: What the model takes.

    Raises:
        BadInput: Images that cannot be read, named.
    """
    arrays, broken = [], []
    for index, value in enumerate(values):
        try:
            arrays.append(_pixels(value, root, shape))
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombWarning,
            Image.DecompressionBombError,
        ) as error:
            broken.append(
                f"{_name(value, index)} ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
            )
    if broken:
        more = f" and {len(broken) - MAX_NAMED} more" if len(broken) > MAX_NAMED else ""
        raise BadInput(f"images that cannot be read: {', '.join(broken[:MAX_NAMED])}{more}; repair or remove them")
    return torch.from_numpy(np.stack(arrays))


def _name(value: Any, index: int) -> str:
    path = value.get("path") if isinstance(value, dict) else value
    return path if isinstance(path, str) and path else f"the image of row {index + 1}"


def _pixels(value: Any, root: Path, shape: Shape) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(_file(value, root), formats=FORMATS) as image:
            small = _squared(image.convert("L" if shape.channels == 1 else "RGB"), shape.side)
    return np.asarray(small, np.uint8).reshape(shape.side, shape.side, -1).transpose(2, 0, 1).copy()


def _file(value: Any, root: Path) -> Any:
    if isinstance(value, dict):
        return io.BytesIO(value["bytes"]) if value.get("bytes") else root / str(value["path"])
    if not isinstance(value, str):
        raise ValueError(f"a {type(value).__name__}, not an image")
    return root / value


def _squared(image: "Image.Image", side: int) -> "Image.Image":
    scale = side / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + side, top + side))


def normalised(batch: Tensor, shape: Shape) -> Tensor:
    """Bytes → what the model takes, (x/255 − mean)/std a channel."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (shape.mean, shape.std))
    return (batch.float() / 255 - mean) / std

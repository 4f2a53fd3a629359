"""A zip of images by class from a stranger, unpacked within limits."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from neatlab.errors import BadInput
from neatlab.inspection.uploads import check_member, copy_limited
from neatlab.tasks.custom.images import SUFFIXES

MAX_IMAGES = 10_000
MAX_MEMBERS = 20_000
MAX_BYTES = 200 * 2**20  # unpacked
LAYOUT = "one folder a class, such as cat/1.jpg and dog/2.jpg"


def unzip_images(archive: Path, folder: Path) -> None:
    """Unpack the images of a zip, and nothing else of it.

    Args:
        archive: The zip: CLASS/NAME, in one more folder or not, or SPLIT/CLASS/NAME.
        folder: Where to; the folder that it is to lie in must exist.

    Raises:
        BadInput: Not a zip, no images by class, paths that lead elsewhere, or more than the limits allow.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            images = _images(opened.infolist())
            left = MAX_BYTES
            for path, member in images.items():
                for parent in reversed(path.parents):  # none above `folder`: one that was removed meanwhile stays so
                    (folder / parent).mkdir(exist_ok=True)
                with opened.open(member) as source:
                    left -= copy_limited(source, folder / path, left)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise BadInput(f"the zip is damaged: {str(error) or type(error).__name__}; make it again") from error


def _images(members: list[zipfile.ZipInfo]) -> Mapping[PurePosixPath, zipfile.ZipInfo]:
    """Path → member, without a folder that holds everything."""
    if len(members) > MAX_MEMBERS:
        raise BadInput(f"the zip holds {len(members):,} files; allowed: {MAX_MEMBERS:,}")
    images: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in members:
        check_member(member)
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.suffix.lower() in SUFFIXES and not any(part.startswith((".", "__MACOSX")) for part in path.parts):
            if path in images:
                raise BadInput(f"the zip holds {member.filename!r} twice")
            images[path] = member
    _check_layout(images)
    is_wrapped = len({path.parts[0] for path in images}) == 1 and all(len(path.parts) > 2 for path in images)
    return {PurePosixPath(*path.parts[is_wrapped:]): member for path, member in images.items()}


def _check_layout(images: Mapping[PurePosixPath, zipfile.ZipInfo]) -> None:
    outside = [path for path in images if len(path.parts) < 2]
    if not images or outside:
        problem = f"{outside[0]} lies in no folder" if outside else "the zip holds no images"
        raise BadInput(f"{problem}; give {LAYOUT}")
    if len(images) > MAX_IMAGES:
        raise BadInput(f"the zip holds {len(images):,} images; allowed: {MAX_IMAGES:,}")
    if (size := sum(member.file_size for member in images.values())) > MAX_BYTES:
        raise BadInput(f"the zip unpacks to {size:,} bytes; allowed: {MAX_BYTES:,}")

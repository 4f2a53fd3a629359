"""A zip of images by class from a stranger, unpacked within limits."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from neatlab.errors import BadInput
from neatlab.inspection.uploads import check_member, copy_limited
from neatlab.tasks.custom.images import SUFFIXES

MOST_IMAGES = 10_000
MOST_MEMBERS = 20_000
LARGEST = 200 * 2**20  # bytes, unpacked
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
            found = _images(opened.infolist())
            left = LARGEST
            for path, member in found.items():
                for parent in reversed(path.parents):  # none above `folder`: one that was removed meanwhile stays so
                    (folder / parent).mkdir(exist_ok=True)
                with opened.open(member) as source:
                    left -= copy_limited(source, folder / path, left)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise BadInput(f"the zip is damaged: {str(error) or type(error).__name__}; make it again") from error


def _images(members: list[zipfile.ZipInfo]) -> Mapping[PurePosixPath, zipfile.ZipInfo]:
    """Path → member, without a folder that holds everything."""
    if len(members) > MOST_MEMBERS:
        raise BadInput(f"the zip holds {len(members):,} files; allowed: {MOST_MEMBERS:,}")
    found: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in members:
        check_member(member)
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.suffix.lower() in SUFFIXES and not any(part.startswith((".", "__MACOSX")) for part in path.parts):
            if path in found:
                raise BadInput(f"the zip holds {member.filename!r} twice")
            found[path] = member
    _check_layout(found)
    is_wrapped = len({path.parts[0] for path in found}) == 1 and all(len(path.parts) > 2 for path in found)
    return {PurePosixPath(*path.parts[is_wrapped:]): member for path, member in found.items()}


def _check_layout(found: Mapping[PurePosixPath, zipfile.ZipInfo]) -> None:
    outside = [path for path in found if len(path.parts) < 2]
    if not found or outside:
        where = f"{outside[0]} lies in no folder" if outside else "the zip holds no images"
        raise BadInput(f"{where}; give {LAYOUT}")
    if len(found) > MOST_IMAGES:
        raise BadInput(f"the zip holds {len(found):,} images; allowed: {MOST_IMAGES:,}")
    if (size := sum(member.file_size for member in found.values())) > LARGEST:
        raise BadInput(f"the zip unpacks to {size:,} bytes; allowed: {LARGEST:,}")

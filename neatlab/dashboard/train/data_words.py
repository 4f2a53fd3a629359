"""What "Your own data" says."""

from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.train.data_request import DataPreview, UploadedTask
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
INVITATION = (
    "Drop a file anywhere on the page: a table with a column of texts and one of labels or numbers (CSV with commas, "
    "semicolons or tabs, also Excel's), or a zip of images, one folder a class; at most 50 MB. It stays on this server "
    "until you close the page, or for an hour; what is trained stays with its run."
)


def invitation() -> str:
    """Before there is a file."""
    return _HTML.about(INVITATION)


def missing(name: str) -> str:
    """After a link was opened that was made with a file."""
    return _HTML.about(
        f"This link was made with {name}, and the data are not in it: a link holds settings alone. "
        f"Drop {name} here to ask the same."
    )


def looking(position: int) -> str:
    """While the file is read.

    Args:
        position: In the queue; 0 once it is read.
    """
    waits = f"Waiting: place {position} in the queue."
    return _HTML.about(waits if position else "Looking at the file and the model.")


def state(made: UploadedTask | DataPreview | None, refusal: FieldError | None) -> str:
    """What was made of a file, with its first rows."""
    if isinstance(made, UploadedTask) and refusal is None:
        return _HTML.about("It is the task now; press Train. Found:", made.notes, made.preview)
    if refusal is None:
        return invitation()
    preview = made.preview if isinstance(made, UploadedTask) else made
    return _HTML.about("Not used: see the message.", (), preview)

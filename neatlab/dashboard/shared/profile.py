"""What a server allows its visitors: all that the machine can, or what can be left open to everybody."""

import math
from typing import NamedTuple


class Profile(NamedTuple):
    """The limits of a server, in addition to those that every one of them has.

    Args:
        takes_files: Whether visitors may bring files.
        seconds: How long a process may take, that of a training too.
        waiting: How many jobs may wait.
        each: How many jobs one visitor may have; None for as many as there are places.
        keeps_runs: Whether a run stays when the visitor who has made it is gone.
    """

    takes_files: bool = True
    seconds: float = math.inf
    waiting: int = 32
    each: int | None = None
    keeps_runs: bool = True


OWN = Profile()
PUBLIC = Profile(takes_files=False, seconds=180.0, waiting=16, each=2, keeps_runs=False)
NO_FILES = "this server takes no files; run your own for that: make app"

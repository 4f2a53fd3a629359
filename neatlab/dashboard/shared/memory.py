"""How much memory a process may take that opens what a visitor has brought, and what the server gives back."""

import ctypes
import os
import re
import resource
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SHARE = 0.25  # of the machine's memory
CGROUP = Path("/sys/fs/cgroup/memory.max")  # what a container may take
STATUS = Path("/proc/self/status")
GIVE_BACK_SECONDS = 10.0


def machine_bytes() -> int:
    """Memory of this machine, or of the container that this is."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or one without a limit
        return min(whole, int(CGROUP.read_text(encoding="ascii")))
    return whole


def keep_giving_back() -> threading.Event:
    """Give freed memory back to the system every few seconds, in a thread, where the C library can.

    By itself glibc keeps what the server's many threads have freed: after large uploads a hundred MiB.

    Returns:
        What ends it when it is set.
    """
    ended, trim = threading.Event(), getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        threading.Thread(target=_give_back, args=(trim, ended), name="memory", daemon=True).start()
    return ended


def _give_back(trim: Callable[[int], int], ended: threading.Event) -> None:
    while not ended.wait(GIVE_BACK_SECONDS):
        trim(0)


def limit_memory(size: int) -> None:
    """Limit what this process may take beyond what it has, where the system can.

    Args:
        size: Bytes.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (size + _taken(), hard))


def _taken() -> int:
    """Bytes that count towards the limit now."""
    with suppress(OSError):
        if match := re.search(r"^VmData:\s+(\d+) kB", STATUS.read_text(encoding="ascii"), re.MULTILINE):
            return int(match[1]) * 1024
    return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the limit was reached; torch has no type for it."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate memory" in str(error))


def too_much(size: int) -> str:
    """What to say to the visitor."""
    return f"it takes more than {size / 2**20:,.0f} MiB of memory, the limit of this server (--memory)"

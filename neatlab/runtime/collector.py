"""What stays for good, kept from Python's collector of cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Make what stays until the process ends: the collector looks at none of it, now or later.

    Imports of torch, PEFT and Gradio make hundreds of thousands of objects, and to look through them again and again
    takes a fifth of their time.

    Example:
        with uncollected():
            import torch
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()

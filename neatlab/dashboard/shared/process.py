"""How a process of the page begins; Linux and macOS only."""

import os

import torch

NICENESS = 15  # the page comes first


def begin() -> None:
    """Settle a fresh process: one thread, and behind the page in the queue for the cores."""
    os.nice(NICENESS)
    torch.set_num_threads(1)

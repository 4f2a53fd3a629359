"""How a process of the page begins; Linux and macOS only."""

import os

import torch

NICENESS = 5  # the page comes first; with 15, trainings starve on a busy machine


def begin() -> None:
    """Settle a fresh process: one thread, and behind the page in the queue for the cores."""
    os.nice(NICENESS)
    torch.set_num_threads(1)

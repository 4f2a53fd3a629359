"""Notebooks are tests too: each runs whole, at the small size."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes with two threads each would wait for one another
os.environ.setdefault("NEATLAB_NOTEBOOK_SIZE", "small")

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Each runs in a kernel, a process of its own."""
    if item.path.suffix == ".ipynb":
        item.add_marker("process")

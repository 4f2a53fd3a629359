"""Notebooks are tests too: each runs whole, at the small size."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("NEATLAB_NOTEBOOK_SIZE", "small")

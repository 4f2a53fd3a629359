"""Sweeps from the page: what may be asked for, its process, and how far it is."""

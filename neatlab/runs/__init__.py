"""Runs: their directories, and what is read from these."""

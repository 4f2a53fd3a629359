"""The command line."""

from neatlab.cli.parser import main

__all__ = ["main"]

"""The settings of a NEAT adapter that have a few values each."""

from typing import Literal

Residual = Literal["paired", "none"]
Orientation = Literal["out", "in", "auto"]
Conditioning = Literal["weight", "none"]

"""NEAT as a PEFT method. Importing it checks the versions below it and registers the type "NEAT" with PEFT.

What a NEAT layer costs can be counted without it, and so without torch: `neatlab.adapters.neat_sizes`.
"""

from neatlab.adapters.neat.layer import NeatConfig, NeatLinear, NeatModel

__all__ = ["NeatConfig", "NeatLinear", "NeatModel"]

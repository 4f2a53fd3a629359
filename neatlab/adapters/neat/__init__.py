"""NEAT as a PEFT method. Importing it checks the versions below it and registers the type "NEAT" with PEFT.

What a NEAT layer costs can be counted without it, and so without torch: `neatlab.adapters.neat_sizes`.
"""

import warnings
from typing import Any, cast

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

from neatlab.adapters.neat import mixed
from neatlab.adapters.neat.config import PEFT_TYPE, NeatConfig
from neatlab.adapters.neat.layer import NeatLayer
from neatlab.adapters.neat.linear import NeatLinear
from neatlab.adapters.neat.model import NeatModel
from neatlab.runtime.versions import misfits

__all__ = ["NeatConfig", "NeatLayer", "NeatLinear", "NeatModel"]

for _line in misfits():  # otherwise met two calls later, as a traceback of transformers
    warnings.warn(_line, stacklevel=2)

_TYPE = cast(Any, PEFT_TYPE)
PEFT_TYPE_TO_CONFIG_MAPPING[_TYPE] = NeatConfig
PEFT_TYPE_TO_TUNER_MAPPING[_TYPE] = NeatModel
PEFT_TYPE_TO_PREFIX_MAPPING[_TYPE] = NeatModel.prefix
mixed.register()

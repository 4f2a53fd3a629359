"""PRESETS: the settings of the paper's experiments, ready for `get_peft_model`.

Zhong et al., arXiv:2410.01870. Module names are those of transformers 5.
"""

import copy
from typing import Any

from neatlab.adapters.neat import NeatConfig
from neatlab.errors import unknown

PRESETS: dict[str, dict[str, Any]] = {
    # Queries and values of every layer of RoBERTa-base; s from 0.01 to 1 by task.
    "neat-l": {"r": 8, "target_modules": ["query", "value"]},
    # The same with one hidden unit, in the upper eight layers only.
    "neat-s": {"r": 1, "target_modules": ["query", "value"], "layers_to_transform": list(range(4, 12))},
    # ViT-B/16 with s = 1; the MLP at the same width.
    "vit-qv": {"r": 7, "target_modules": ["q_proj", "v_proj"]},
    "vit-qv-mlp": {"r": 7, "target_modules": ["q_proj", "v_proj", "fc1", "fc2"]},
    # Llama and its relatives; the authors' code for these maps over the inputs.
    "llm": {
        "r": 32,
        "orientation": "in",
        "target_modules": ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"],
    },
}


def preset(name: str, **changes: Any) -> NeatConfig:
    """A configuration of the paper.

    Args:
        name: A key of PRESETS.
        **changes: Fields of `NeatConfig` that differ, such as `scaling=0.1` or `modules_to_save=["classifier"]`.

    Returns:
        A fresh configuration.

    Raises:
        BadInput: No such preset, or a value that no layer could be built from.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return NeatConfig(**{**copy.deepcopy(PRESETS[name]), **changes})

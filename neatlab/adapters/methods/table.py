"""METHODS: every way of adapting a model that an arm can name. One file and one row a method.

Every adapter but NEAT comes from PEFT, with dropout 0. AdaLoRA is not here: it needs `update_and_allocate` after
each optimiser step, and a loop without it would train something else under that name.

Example:
    >>> import neatlab
    >>> lora = neatlab.METHODS["lora"]
    >>> lora.equation
    'ΔW = (α/r)·B A'
    >>> lora.params(lora.options(rank=4), 64, 256)
    1280
"""

from neatlab.adapters.methods import (
    fourierft,
    gralora,
    hira,
    ia3,
    loha,
    lokr,
    lora,
    miss,
    neat,
    oft,
    peanut,
    vera,
    whole,
)
from neatlab.adapters.methods.base import Method

METHODS: dict[str, Method] = {
    "lora": lora.LORA,
    "neat": neat.METHOD,
    "peanut": peanut.METHOD,
    "rslora": lora.RSLORA,
    "dora": lora.DORA,
    "pissa": lora.PISSA,
    "vera": vera.METHOD,
    "fourierft": fourierft.METHOD,
    "ia3": ia3.METHOD,
    "hira": hira.METHOD,
    "loha": loha.METHOD,
    "lokr": lokr.METHOD,
    "miss": miss.METHOD,
    "gralora": gralora.METHOD,
    "oft": oft.METHOD,
    "full": whole.FULL,
    "head": whole.HEAD,
}

"""FURTHER and CLOSED: every type of PEFT's registry beyond the lab's methods is in one of the two."""

from neatlab.inspection.further import dense, thin
from neatlab.inspection.further.base import FurtherType

_ROWS = (
    *(thin.ADALORA, thin.DEFT, thin.DELORA, thin.HRA, thin.PVERA, thin.TINYLORA, thin.UNILORA, thin.VBLORA),
    *(dense.BOFT, dense.C3A, dense.OSF, dense.PSOFT, dense.RANDLORA, dense.SHIRA, dense.SUPERTUNING, dense.WAVEFT),
)
FURTHER: dict[str, FurtherType] = {row.files.type: row for row in _ROWS}

_PROMPT = "it changes inputs and no weight"
_NONE = "PEFT states no ΔW for it"

# Type → why its ΔW is not computed.
CLOSED = {
    "ADAMSS": "where its numbers go is clustered anew from W₀ on every machine, and stands in no file",
    "FROD": "it replaces the weights by a decomposition of all layers' weights together",
    "LILY": "what it adds is mixed anew for every input, so that there is no one ΔW",
    "XLORA": "what it adds is mixed anew for every input, so that there is no one ΔW",
    "POLY": "what it adds depends on the task that is asked for, so that there is no one ΔW",
    "GLORA": _NONE,
    "ROAD": _NONE,
    "BEFT": "it trains biases and no weight",
    "LN_TUNING": "it trains norms and no matrix",
    "TRAINABLE_TOKENS": "it trains rows of an embedding",
    "SHADOW": _NONE,
    "ADAPTION_PROMPT": _PROMPT,
    "CARTRIDGE": _PROMPT,
    "CPT": _PROMPT,
    "MULTITASK_PROMPT_TUNING": _PROMPT,
    "P_TUNING": _PROMPT,
    "PREFIX_TUNING": _PROMPT,
    "PROMPT_TUNING": _PROMPT,
}

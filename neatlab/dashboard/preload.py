"""Imported where training processes are forked from: what the first training would otherwise wait for."""

import transformers.models.vit.modeling_vit  # noqa: F401  # each for its import alone

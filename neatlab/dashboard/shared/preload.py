"""Imported where training processes are forked from: what each training would otherwise wait for."""

import sklearn.datasets  # each for its import alone
import sklearn.model_selection  # noqa: F401
import transformers.models.vit.modeling_vit  # noqa: F401

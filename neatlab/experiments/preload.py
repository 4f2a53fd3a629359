"""Imported where processes that train are forked from: what each of them would otherwise wait for."""

from neatlab.runtime.collector import uncollected

with uncollected():
    import sklearn.datasets  # each for its import alone
    import sklearn.model_selection  # noqa: F401
    import transformers.models.vit.modeling_vit  # noqa: F401
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    import neatlab.experiments.execute  # noqa: F401

    get_checkpoint_conversion_mapping("vit")  # a thousand regular expressions, which PEFT asks for at the first adapter

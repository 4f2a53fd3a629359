"""banking77: what a customer asks a bank for. Real questions by PolyAI, 77 intents that lie close together."""

from collections.abc import Mapping
from typing import Any, ClassVar

from neatlab.tasks.intents import BASE_METRIC, IntentOptions, IntentTask
from neatlab.tasks.metrics import Metric
from neatlab.tasks.shipped import SETS


class Banking77Options(IntentOptions):
    """Options of `banking77`; what the base knows is measured on CLINC150's intents."""

    sets: ClassVar[tuple[str, ...]] = ("banking77", "clinc150")


class Banking77(IntentTask):
    """Questions to a bank → their intent."""

    title: ClassVar[str] = "which of twenty intents does this question to a bank have"
    base_metric: ClassVar[Metric] = BASE_METRIC
    options: ClassVar[type[IntentOptions]] = Banking77Options
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {"banking77, twenty intents": {}}
    license: ClassVar[str] = SETS["banking77"].license
    source: ClassVar[str] = SETS["banking77"].source

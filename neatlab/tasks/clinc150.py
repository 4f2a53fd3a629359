"""clinc150: what one asks a digital assistant for. Real requests by Clinc, 150 intents in ten fields of life."""

from collections.abc import Mapping
from typing import Any, ClassVar

from neatlab.tasks.intents import BASE_METRIC, IntentOptions, IntentTask
from neatlab.tasks.metrics import Metric
from neatlab.tasks.shipped import SETS


class Clinc150Options(IntentOptions):
    """Options of `clinc150`; what the base knows is measured on BANKING77's intents."""

    sets: ClassVar[tuple[str, ...]] = ("clinc150", "banking77")


class Clinc150(IntentTask):
    """Requests to an assistant → their intent."""

    title: ClassVar[str] = "which of twenty intents does this request to an assistant have"
    base_metric: ClassVar[Metric] = BASE_METRIC
    options: ClassVar[type[IntentOptions]] = Clinc150Options
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {"clinc150, twenty intents": {}}
    license: ClassVar[str] = SETS["clinc150"].license
    source: ClassVar[str] = SETS["clinc150"].source

"""What a run's summary holds, gathered from its events."""

import math
from typing import Any

from neatlab.events import Evaluated, Event, RunFailed, RunFinished, RunPruned, RunStarted, SpectrumMeasured


class Summary:
    """Gathers from the events what a run's summary holds.

    Attributes:
        step: Steps done.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {"status": "unfinished"}
        self._ranks: dict[str, float] = {}
        self.step = 0

    def add(self, event: Event) -> None:
        """Take in one event."""
        self.step = getattr(event, "step", 0)
        match event:
            case RunStarted():
                counts = ("trainable_params", "adapter_params", "saved_bytes")
                self._values |= {name: getattr(event, name) for name in counts}
                self._known("base_metric_before", event.base_metric)
                self._known("sharpness", event.sharpness)
                self._known("suggested_lr", event.suggested_lr)
            case Evaluated(split="test"):
                self._values |= {"metric": event.metric, "loss": event.loss, **event.extras}
            case Evaluated(split="validation"):
                self._values |= {"validation_metric": event.metric, "validation_loss": event.loss}
            case SpectrumMeasured():
                self._ranks[event.layer] = event.effective_rank
            case RunFinished():
                done = {"status": "finished", "seconds": event.seconds, "seconds_per_step": event.seconds_per_step}
                self._values |= done
                self._known("base_metric", event.base_metric)
            case RunPruned():
                self._values |= {"status": "pruned", "step": event.step}
            case RunFailed():
                self._values |= {"status": "failed", "error": event.error, "metric": None}

    def _known(self, name: str, value: float | None) -> None:
        self._values |= {} if value is None else {name: value}

    def values(self) -> dict[str, Any]:
        """The summary so far."""
        ranks = [rank for rank in self._ranks.values() if math.isfinite(rank)]
        return {**self._values, "effective_rank": sum(ranks) / len(ranks) if ranks else None}

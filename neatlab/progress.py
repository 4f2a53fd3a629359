"""A progress bar for whoever listens to runs on a terminal."""

import sys
from types import TracebackType
from typing import Self

from tqdm import tqdm

from neatlab.config import RunConfig
from neatlab.events import Event, RunFailed, RunStarted, Step


class Progress:
    """A bar a run on standard error, showing the loss; called with each event."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __call__(self, config: RunConfig, event: Event) -> None:
        """Show one event."""
        match event:
            case RunStarted():
                self._close()
                name = f"{config.arm.label} seed {config.seed}"
                self._bar = tqdm(total=config.training.steps, desc=name, unit="step", leave=False)
            case Step() if self._bar is not None:
                self._bar.set_postfix(loss=f"{event.loss:.3f}", refresh=False)
                self._bar.update()
            case RunFailed():
                tqdm.write(file=sys.stderr, s=f"{config.arm.label} seed {config.seed}: {event.error}")

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

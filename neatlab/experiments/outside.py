"""A training that others do, written down as a run while it goes."""

import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from neatlab.errors import BadInput, StoreError
from neatlab.events import Evaluated, Event, RunFinished, RunStarted, SpectrumMeasured, Step, from_dict
from neatlab.experiments.outside_model import LayerSpectrum, OutsideModel
from neatlab.runs.index import RUN_ID
from neatlab.runs.jsonlines import read_lines
from neatlab.runs.outside import OutsideRun, cut_events
from neatlab.runs.run import Run, read_run
from neatlab.runs.store import Store
from neatlab.runs.summary import Summary

SHARE = 0.01  # of a training's time that spectra take where no interval is given


class Recording:
    """One training as it is written down. What cannot be written ends the writing, with a warning, never the training.

    Args:
        store: Runs folder.
        model: What is trained.
        config: The run.
        step: Steps done before.
        resume_at: Bytes of its events after which a run goes on; None begins one.

    Raises:
        StoreError: Its directory cannot be written.
    """

    def __init__(
        self, store: Store, model: OutsideModel, config: OutsideRun, step: int = 0, resume_at: int | None = None
    ) -> None:
        self.config, self._model, self._every = config, model, config.training.spectrum_every
        self._writer = store.start(config, resume_at)
        self._summary, self._is_lost, self._is_measured = Summary(), False, bool(model.layers)
        self._paces: list[float] = []
        before = 0.0 if resume_at is None else self._take_up()
        self._begin = time.perf_counter() - before
        self._last = self._measured = (step, time.perf_counter())  # step and time of the last log, and of the spectra
        self._cost = 0.0
        if resume_at is None:
            self._write(RunStarted(*model.counts(), saved_bytes=None, layers=model.layers))
            self.measure(step)
        if model.note:
            warnings.warn(f"run {config.run_id}: {model.note}", stacklevel=3)

    def step(self, step: int, loss: float, lr: float) -> None:
        """One optimiser step, or the last of several whose mean loss is given.

        Args:
            step: Steps done.
            loss: Mean loss since the step that was given last.
            lr: The learning rate.
        """
        now = time.perf_counter()
        pace = (now - self._last[1]) / max(step - self._last[0], 1)
        self._last = (step, now)
        self._paces.append(pace)
        self._write(Step(step, loss, lr, pace))

    def evaluated(self, event: Evaluated) -> None:
        """A split was scored; the time that took is no step's. After the end it is added to the summary."""
        has_ended = bool(self._summary.values()["status"] == "finished")
        with self._harmless():
            if has_ended and not self._is_lost:
                self._writer.reopen()
        self._write(event)
        if has_ended:
            self._write_summary()
        elif event.step == self._last[0]:
            self._last = (event.step, time.perf_counter())

    def spectra(self, step: int) -> None:
        """Measure the spectra if it is time for it: every so many steps, or as often as they cost little."""
        at, since = self._measured
        waited = time.perf_counter() - since
        if step > at and (step % self._every == 0 if self._every else waited >= self._cost / SHARE):
            self.measure(step)

    def measure(self, step: int) -> None:
        """Measure the spectra now."""
        begin = time.perf_counter()
        try:
            for layer in self._model.measure() if self._is_measured and not self._is_lost else ():
                self._write(_event(step, layer))
        except RuntimeError as error:  # no memory, above all
            self._is_measured = False
            warnings.warn(f"the training goes on, and spectra are measured no more: {error}", stacklevel=2)
        now = time.perf_counter()
        self._cost, self._measured = now - begin, (step, now)
        self._last = (self._last[0], self._last[1] + self._cost)  # it is no step's time

    def finish(self, step: int) -> None:
        """All steps are done: the adapter and the summary.

        Args:
            step: Steps done.
        """
        if step > self._measured[0]:
            self.measure(step)
        seconds = time.perf_counter() - self._begin
        pace = statistics.median(self._paces) if self._paces else seconds / max(step, 1)
        self._write(RunFinished(step, seconds, pace))
        with self._harmless():
            self._model.save(self._writer.adapter_folder)
        self._write_summary()

    def _write_summary(self) -> None:
        with self._harmless():
            if not self._is_lost:
                self._writer.finish(self._summary.values())

    def _write(self, event: Event) -> None:
        with self._harmless():
            if not self._is_lost:
                self._writer.write(event)
        self._summary.add(event)

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """A disk that is full, or a run that was deleted, ends the writing alone."""
        try:
            yield
        except (OSError, StoreError, SafetensorError) as error:
            self._is_lost = True
            warnings.warn(f"the training goes on, and is written down no more: {error}", stacklevel=4)

    def _take_up(self) -> float:
        """Gather what was written before; returns the seconds that it took."""
        seconds, last = 0.0, 0
        for values in read_lines(self._writer.path / "events.jsonl"):
            event = from_dict(values)
            self._summary.add(event)
            if isinstance(event, Step):
                seconds, last = seconds + event.seconds * (event.step - last), event.step
        return seconds


def _event(step: int, layer: LayerSpectrum) -> SpectrumMeasured:
    measured = layer.spectrum
    return SpectrumMeasured(
        step,
        layer.name,
        tuple(measured.singular_values.tolist()),  # r
        measured.effective_rank,
        measured.stable_rank,
        measured.participation_ratio,
        measured.norm,
        layer.relative_norm,
        layer.dead_units,
    )


def begin(store: Store, model: OutsideModel, config: OutsideRun, step: int = 0) -> Recording:
    """Begin a run for a training that has done `step` steps.

    Raises:
        StoreError: It cannot be written.
    """
    return Recording(store, model, config, step)


def go_on(store: Store, run: Run, model: OutsideModel, step: int) -> Recording:
    """Go on with a run from a checkpoint; what it wrote after that is dropped.

    Args:
        store: Runs folder.
        run: As `unfinished` gives it.
        model: What is trained.
        step: Steps done at the checkpoint.

    Raises:
        StoreError: It cannot be written, or is damaged.
    """
    config = run.config
    if not isinstance(config, OutsideRun):
        raise BadInput(f"run {run.run_id} was trained by neatlab, which alone goes on with it")
    return Recording(store, model, config, step, cut_events(run.path, step))


def unfinished(store: Store, run_id: object) -> Run | None:
    """The run from outside of that id, if it is there and has not ended."""
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id) or not (store.root / run_id).is_dir():
        return None
    try:
        run = read_run(store.root / run_id)
    except StoreError:
        return None
    return run if isinstance(run.config, OutsideRun) and not run.summary else None

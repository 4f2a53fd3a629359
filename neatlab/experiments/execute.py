"""Composition: from a run's configuration to a trained adapter in the store."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import save_file

from neatlab.adapters.attach import Adapted, attach
from neatlab.adapters.methods import METHODS
from neatlab.analysis.weight_frames import WeightsBegun, WeightsMeasured
from neatlab.config import RunConfig
from neatlab.errors import StoreError
from neatlab.events import Evaluated, Event, RunFailed, RunFinished, RunPruned, from_dict
from neatlab.runs.jsonlines import read_lines
from neatlab.runs.outcomes import write_outcomes
from neatlab.runs.store import Store
from neatlab.runs.summary import Summary
from neatlab.runs.weights import append_weights, begin_weights, cut_weights
from neatlab.runs.writer import RunWriter
from neatlab.runtime import distributed
from neatlab.runtime.environment import keep_random_state, pick_device, seed_random
from neatlab.tasks import Task
from neatlab.tasks.base import size
from neatlab.training import checkpoint as saved
from neatlab.training.batches import training_data
from neatlab.training.checkpoint import TrainingState
from neatlab.training.loop import Stored, checkpoint_gradients, train

Listener = Callable[[RunConfig, Event], None]
TRAINED = "trained.safetensors"  # what a method without an adapter trained, under the names in the model


def make_task(config: RunConfig) -> Task:
    """The task of a run, its data and base checkpoint not yet loaded."""
    return config.spec.load()


def build(config: RunConfig, task: Task) -> Adapted:
    """The base model with the run's adapter, initialised from the run's seed."""
    if distributed.world_size() > 1:
        rows = size(training_data(task, config.training.train_size, config.seed))
        distributed.check_rows(min(config.training.batch_size, rows))
    schema, device = METHODS[config.arm.method].options, pick_device(config.training.device)
    with keep_random_state(device):
        model = task.base_model().to(device)
        seed_random(device, config.seed)
        adapted = attach(model, config.arm.method, schema(**config.arm.options), task.targets, task.head)
    if config.training.gradient_checkpointing:
        checkpoint_gradients(adapted.model)
    return adapted


def execute(
    config: RunConfig,
    store: Store,
    should_continue: Callable[[Evaluated], bool] | None = None,
    is_film: bool = False,
) -> Iterator[Event]:
    """Train one run and write it to the store, event by event.

    Closing the generator ends the training at once and leaves the run unfinished. Of several processes each yields
    the events, so that a caller who stops does so in all; the main one alone writes, and asks `should_continue`.

    Args:
        config: The run.
        store: Where it goes; an unfinished run of the same configuration goes on from where it was last saved
            (`save_every`), else it is started anew.
        should_continue: Asked after each evaluation on the validation split; False prunes the run.
        is_film: Whether someone looks on: the weights are stored more often than spectra are measured.

    Yields:
        The events that `loop.train` yields, each after it is in the store.

    Raises:
        BadInput: An arm that does not fit the task.
        StoreError: The run cannot be written.
    """
    task = make_task(config)
    adapted = build(config, task)
    state = (
        distributed.broadcast_from_main(saved.load, store.root / config.run_id) if config.training.save_every else None
    )
    is_report, measures = config.purpose == "report", _measures_start(config)
    training = train(adapted, task, config.training, config.seed, is_report, state, measures, is_film)
    events = _until_pruned(training, should_continue)
    if distributed.is_main():
        yield from _written(events, adapted, config, store, state)
    else:
        yield from (event for event in events if not isinstance(event, Stored))


def _measures_start(config: RunConfig) -> bool:
    """Whether this is a search's run at the default rate: an arm's start is the same at every other."""
    default = config.spec.row.training["lr"] * METHODS[config.arm.method].lr_factor
    return config.purpose == "tune" and math.isclose(config.training.lr, default, rel_tol=0.01)


def _written(
    events: Iterator[Event | Stored],
    adapted: Adapted,
    config: RunConfig,
    store: Store,
    state: TrainingState | None,
) -> Iterator[Event]:
    writer, seen = store.start(config, state.events if state else None), Summary()
    if state:
        cut_weights(writer.path, state.step)
    for values in read_lines(writer.path / "events.jsonl") if state else []:
        seen.add(from_dict(values))
    try:
        for event in events:
            if isinstance(event, Stored):
                _store(event, writer.path)
                continue
            writer.write(event)
            seen.add(event)
            if isinstance(event, RunFinished | RunFailed | RunPruned):
                _save(adapted, writer)
                writer.finish(seen.values())
                (writer.path / saved.FILE).unlink(missing_ok=True)
            yield event
    except OSError as error:
        raise StoreError(f"run {config.run_id} could not be written: {error.strerror or error}") from error
    except (GeneratorExit, KeyboardInterrupt):
        writer.interrupt(seen.step)
        raise
    finally:
        writer.close()


def _until_pruned(
    events: Iterator[Event | Stored], should_continue: Callable[[Evaluated], bool] | None
) -> Iterator[Event | Stored]:
    for event in events:
        yield event
        if (
            should_continue
            and isinstance(event, Evaluated)
            and is_rung(event)
            and not distributed.broadcast_from_main(should_continue, event)
        ):
            yield RunPruned(event.step)
            return


def is_rung(event: Event | Stored) -> bool:
    """Whether an event is an evaluation at which a run may be pruned."""
    return isinstance(event, Evaluated) and event.split == "validation" and event.step > 0


def _store(entry: Stored, run: Path) -> None:
    match entry:
        case TrainingState():
            saved.save(entry, run)
        case WeightsBegun():
            begin_weights(run, entry)
        case WeightsMeasured():
            append_weights(run, entry)
        case _:
            write_outcomes(run, entry)


def _save(adapted: Adapted, writer: RunWriter) -> None:
    if isinstance(adapted.model, PeftModel):
        adapted.model.save_pretrained(str(writer.adapter_folder), save_embedding_layers=False)
        return
    writer.adapter_folder.mkdir()
    trained = {name: p.detach().contiguous() for name, p in adapted.model.named_parameters() if p.requires_grad}
    save_file(trained, writer.adapter_folder / TRAINED)


def check(configs: Sequence[RunConfig]) -> None:
    """Build each arm once, so that what cannot be built is refused before anything trains.

    Raises:
        BadInput: An arm that does not fit the task's model.
    """
    for config in {config.arm.label: config for config in configs}.values():
        build(config, make_task(config))


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread: on models this small a second one costs a core that another run can use better."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

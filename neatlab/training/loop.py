"""The training loop: a generator of events. It never prints, plots or saves."""

import dataclasses
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from neatlab.adapters.attach import Adapted
from neatlab.analysis.cost import saved_bytes
from neatlab.analysis.spectra import Spectrum, spectrum
from neatlab.analysis.weight_frames import WeightsBegun, WeightsMeasured
from neatlab.config import TrainingConfig
from neatlab.errors import BadInput
from neatlab.events import (
    Evaluated,
    Event,
    ExamplesChosen,
    Predicted,
    RunFailed,
    RunFinished,
    RunStarted,
    SpectrumMeasured,
    Step,
)
from neatlab.runtime import distributed
from neatlab.runtime.environment import keep_random_state, seed_random
from neatlab.tasks.answers import confusions
from neatlab.tasks.base import Batch, Score, Split, Task, select, size, to_device
from neatlab.tasks.outcomes import Outcomes
from neatlab.training.batches import shuffled_batches, training_data
from neatlab.training.checkpoint import TrainingState, restore, state_of
from neatlab.training.curvature import Start, measured_start
from neatlab.training.weights import Film, plan_film

# For the run's folder alone; no events, and listeners get none.
Stored: TypeAlias = TrainingState | Outcomes | WeightsBegun | WeightsMeasured
MAX_LOSS_RATIO = 1e4  # to the first step's loss, or to 1 where that was smaller; above it a run has diverged


def train(
    adapted: Adapted,
    task: Task,
    config: TrainingConfig,
    seed: int,
    test: bool = True,
    state: TrainingState | None = None,
    measure_start: bool = False,
    is_film: bool = False,
) -> Iterator[Event | Stored]:
    """Train `adapted` on `task`; the test split is scored once, at the end.

    The global random state is left alone: every step draws from its own seed, so that runs that take turns
    in one process repeat what each does alone. Of several processes each yields the same events, in which the loss
    is the whole batch's; dropout differs from one to the next.

    Args:
        adapted: The model; its trainable parameters change in place.
        task: Data, loss and metric.
        config: Steps, rates and intervals.
        seed: Seed of the data order and of dropout.
        test: Whether to score the test split at the end, and the base task before and after, and to keep answers to
            some examples; False while settings are being chosen.
        state: Where an interrupted run resumes; what it yielded until then is not yielded again.
        measure_start: Whether to measure the curvature of the loss before the first step.
        is_film: Whether someone looks on: the weights are stored more often than spectra are measured.

    Yields:
        RunStarted, then Step, Evaluated, Predicted (before the first one ExamplesChosen) and SpectrumMeasured, last
        RunFinished or RunFailed; between steps TrainingState, every `save_every` of them; before RunFinished the test
        split's Outcomes, where the task has any. Unless settings are being chosen, WeightsBegun before the first step,
        and WeightsMeasured every few of them.
    """
    # Before the first step: what the model is, and how it does untrained.
    begin = time.perf_counter() - (state.seconds if state else 0)
    chosen, film = (task.examples(), plan_film(adapted, task, config, is_film)) if test else (None, None)
    if state is None:
        base_metric = task.base_score(adapted.model) if test else None
        start = measured_start(adapted, task, config, seed) if measure_start else Start()
        yield _started(adapted, task, config, seed, base_metric, start)
        yield from _measured(adapted, task, config, 0, chosen, film)

    # Train, and measure every few steps.
    seconds = []
    for event in _steps(adapted, task, config, seed, state):
        if isinstance(event, TrainingState):
            yield dataclasses.replace(event, seconds=time.perf_counter() - begin)
            continue
        yield event
        if isinstance(event, RunFailed):
            return
        seconds.append(event.seconds)
        yield from _measured(adapted, task, config, event.step, chosen, film)

    # Touch the test split once, and see what is left of the base task.
    base_metric = None
    if test:
        score = task.score(adapted.model, "test")
        yield _evaluated(config.steps, "test", score)
        if not math.isfinite(score.loss):
            yield RunFailed("the loss on the test split is not a number after the last step", config.steps)
            return
        base_metric = task.base_score(adapted.model)
        if score.outcomes is not None:
            yield score.outcomes
    yield RunFinished(config.steps, time.perf_counter() - begin, statistics.median(seconds), base_metric)


def _measured(
    adapted: Adapted, task: Task, config: TrainingConfig, step: int, chosen: ExamplesChosen | None, film: Film | None
) -> Iterator[Event | Stored]:
    """What is due after `step`; everything is before the first and after the last."""
    if step == config.steps or step % config.eval_every == 0:
        score = task.score(adapted.model, "validation")
        yield _evaluated(step, "validation", score)
        if chosen is not None:
            yield from _answered(adapted, task, step, chosen, score)
    is_measured, is_stored = step == config.steps or step % config.spectrum_every == 0, film and step in film.steps
    if is_measured or is_stored:
        deltas = adapted.deltas()  # ΔW as thin factors: d_out × r and r × d_in
        spectra = {name: spectrum(delta) for name, delta in deltas.items()}
        if is_measured:
            yield from _spectra(adapted, step, spectra)
        if film and is_stored:
            if step == 0:
                yield film.begun
            yield film.measure(adapted, step, deltas, spectra)


def _steps(
    adapted: Adapted, task: Task, config: TrainingConfig, seed: int, state: TrainingState | None
) -> Iterator[Step | RunFailed | TrainingState]:
    # Optimiser, data order and, where a run resumes, its state.
    optimizer, device = _optimizer(adapted, config), next(adapted.model.parameters()).device
    done, first_loss = (state.step, state.first_loss) if state else (0, math.nan)
    if state:
        restore(state, adapted.model, optimizer)
    data = training_data(task, config.train_size, seed)
    batches = shuffled_batches(data, config.batch_size, seed, done)

    for step in range(done + 1, config.steps + 1):
        begin = time.perf_counter()

        # Learning rate of this step, the adapter's and the head's.
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate_factor(step - 1, config)

        # Forward and backward, on random numbers of this step alone.
        with keep_random_state(device):
            seed_random(device, (seed << 32) + (distributed.rank() << 20) + step)  # there are at most 10⁶ steps
            optimizer.zero_grad()
            loss = _backward(adapted, task, config, next(batches))

        # Stop before a step that would ruin the weights.
        first_loss = loss if step == 1 else first_loss
        if not math.isfinite(loss) or loss > MAX_LOSS_RATIO * max(first_loss, 1.0):
            yield RunFailed(f"diverged: the loss is {loss:g} at step {step}; try a lower learning rate", step)
            return

        # Update, and report.
        optimizer.step()
        yield Step(step, loss, optimizer.param_groups[0]["lr"], time.perf_counter() - begin)
        if config.save_every and step % config.save_every == 0 and step < config.steps:
            yield TrainingState(step, first_loss, 0.0, state_of(adapted.model, optimizer))


def _backward(adapted: Adapted, task: Task, config: TrainingConfig, batch: Batch) -> float:
    """The batch's loss; its gradient is gathered micro-batch by micro-batch, each by its share of the loss's terms."""
    adapted.model.train()
    total = 0.0
    for part in _parts(to_device(distributed.shard(batch), adapted.model), config.accumulate):
        loss = _loss(adapted, task, config, part) * (task.weight(part) / task.weight(batch))  # scalar
        loss.backward()
        total += float(loss.detach())
    return distributed.all_reduce_gradients(total, adapted.model.parameters())


def _parts(batch: Batch, count: int) -> Iterator[Batch]:
    """A batch of n rows in at most `count` micro-batches of ⌈n / count⌉."""
    chunks = (column.chunk(count) for column in batch.values())  # a column: n × …
    return (dict(zip(batch, columns, strict=True)) for columns in zip(*chunks, strict=True))


def _loss(adapted: Adapted, task: Task, config: TrainingConfig, batch: Batch) -> Tensor:
    device = next(iter(batch.values())).device.type
    with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bfloat16"):
        return task.loss(adapted.model, batch)  # scalar


def checkpoint_gradients(model: Any) -> None:
    """Let a transformers model keep only the input of each block for the backward pass.

    Raises:
        BadInput: A model that has no such switch.
    """
    if not hasattr(model, "activation_checkpointing_enable"):
        raise BadInput("training: gradient_checkpointing=True, but this task's model cannot do that")
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False


def rate_factor(done: int, config: TrainingConfig) -> float:
    """The learning rate after `done` steps as a share of its peak: linear warm-up, then the schedule to zero."""
    warmup = warmup_steps(config)
    if done < warmup:
        return (done + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    fraction = (done - warmup) / max(config.steps - warmup, 1)  # 0 → 1 after the warm-up
    return 1 - fraction if config.schedule == "linear" else (1 + math.cos(math.pi * fraction)) / 2


def warmup_steps(config: TrainingConfig) -> int:
    """Steps in which the learning rate rises."""
    return round(config.warmup * config.steps)


def _optimizer(adapted: Adapted, config: TrainingConfig) -> torch.optim.Optimizer:
    groups = [(adapted.adapter_parameters(), config.lr), (adapted.head_parameters(), config.head_lr)]
    nonempty = [{"params": params, "lr": rate, "peak": rate} for params, rate in groups if params]
    return torch.optim.AdamW(nonempty, weight_decay=config.weight_decay)


def _started(
    adapted: Adapted, task: Task, config: TrainingConfig, seed: int, base_metric: float | None, start: Start
) -> RunStarted:
    adapter = sum(p.numel() for p in adapted.adapter_parameters())
    head = sum(p.numel() for p in adapted.head_parameters())
    total = sum(p.numel() for p in adapted.model.parameters())
    shapes = {name: (w.shape[0], w.shape[1]) for name, w in adapted.layers.items()}
    saved = _saved_bytes(adapted, task, config, seed)
    return RunStarted(adapter + head, adapter, total, saved, shapes, base_metric, *start)


def _saved_bytes(adapted: Adapted, task: Task, config: TrainingConfig, seed: int) -> int:
    data = training_data(task, config.train_size, seed)
    rows = to_device(select(data, torch.arange(min(config.batch_size, size(data)))), adapted.model)
    part = next(_parts(distributed.shard(rows), config.accumulate))
    adapted.model.train()
    with keep_random_state(next(adapted.model.parameters()).device):
        return saved_bytes(lambda: _loss(adapted, task, config, part), adapted.model.parameters())


def _evaluated(step: int, split: Split, score: Score) -> Evaluated:
    return Evaluated(step, split, score.loss, score.metric, score.extras)


def _answered(
    adapted: Adapted, task: Task, step: int, chosen: ExamplesChosen, score: Score
) -> Iterator[ExamplesChosen | Predicted]:
    if step == 0:
        yield chosen
    answers = task.answers(adapted.model, score)
    yield Predicted(step, **vars(answers), confusion=confusions(score.outcomes, len(chosen.names)))


def _spectra(adapted: Adapted, step: int, spectra: Mapping[str, Spectrum]) -> Iterator[SpectrumMeasured]:
    for name, measured in spectra.items():
        yield SpectrumMeasured(
            step,
            name,
            tuple(measured.singular_values.tolist()),  # r
            measured.effective_rank,
            measured.stable_rank,
            measured.participation_ratio,
            measured.norm,
            measured.norm / _norm(adapted.layers[name]),
            adapted.dead_units(name),
        )


def _norm(weight: Tensor) -> float:
    return float(weight.double().norm())

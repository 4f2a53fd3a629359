"""The training loop: a generator of events. It never prints, plots or saves."""

import math
import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from neatlab.adapters.attach import Adapted
from neatlab.analysis.cost import saved_bytes
from neatlab.analysis.spectra import spectrum
from neatlab.config import TrainingConfig
from neatlab.events import Evaluated, Event, RunFailed, RunFinished, RunStarted, SpectrumMeasured, Step
from neatlab.tasks.base import Batch, Split, Task, size, take

DIVERGED = 1e4


def train(adapted: Adapted, task: Task, config: TrainingConfig, seed: int, test: bool = True) -> Iterator[Event]:
    """Train `adapted` on `task`; the test split is scored once, at the end.

    The global random state is left alone: every step draws from its own seed, so that runs that take turns
    in one process repeat what each does alone.

    Args:
        adapted: The model; its trainable parameters change in place.
        task: Data, loss and metric.
        config: Steps, rates and intervals.
        seed: Seed of the data order and of dropout.
        test: Whether to score the test split at the end, and the base task before and after; False while settings
            are being chosen.

    Yields:
        RunStarted, then Step, Evaluated and SpectrumMeasured, last RunFinished or RunFailed.
    """
    begin = time.perf_counter()
    yield _started(adapted, task, config, task.base_score(adapted.model) if test else None)
    yield _evaluate(adapted, task, 0, "validation")
    yield from _spectra(adapted, 0)
    seconds = []
    for event in _steps(adapted, task, config, seed):
        yield event
        if isinstance(event, RunFailed):
            return
        seconds.append(event.seconds)
        last = event.step == config.steps
        if last or event.step % config.eval_every == 0:
            yield _evaluate(adapted, task, event.step, "validation")
        if last or event.step % config.spectrum_every == 0:
            yield from _spectra(adapted, event.step)
    left = None
    if test:
        result = _evaluate(adapted, task, config.steps, "test")
        yield result
        if not math.isfinite(result.loss):
            yield RunFailed("the loss on the test split is not a number after the last step", config.steps)
            return
        left = task.base_score(adapted.model)
    yield RunFinished(config.steps, time.perf_counter() - begin, statistics.median(seconds), left)


def _steps(adapted: Adapted, task: Task, config: TrainingConfig, seed: int) -> Iterator[Step | RunFailed]:
    optimizer = _optimizer(adapted, config)
    schedule = LambdaLR(optimizer, lambda done: rate_factor(done, config))
    batches = _batches(task.split("train"), config.batch_size, seed)
    first = math.nan
    for step in range(1, config.steps + 1):
        begin, rate = time.perf_counter(), optimizer.param_groups[0]["lr"]
        with torch.random.fork_rng():
            torch.manual_seed((seed << 32) + step)
            loss = _backward(adapted, task, optimizer, next(batches))
        first = loss if step == 1 else first
        if not math.isfinite(loss) or loss > DIVERGED * max(first, 1.0):
            yield RunFailed(f"diverged: the loss is {loss:g} at step {step}; try a lower learning rate", step)
            return
        optimizer.step()
        schedule.step()
        yield Step(step, loss, rate, time.perf_counter() - begin)


def _backward(adapted: Adapted, task: Task, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    adapted.model.train()
    optimizer.zero_grad()
    loss = task.loss(adapted.model, batch)
    loss.backward()
    return float(loss.detach())


def rate_factor(done: int, config: TrainingConfig) -> float:
    """The learning rate after `done` steps as a share of its peak: linear warm-up, then the schedule to zero."""
    warmup = round(config.warmup * config.steps)
    if done < warmup:
        return (done + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    progress = (done - warmup) / max(config.steps - warmup, 1)
    return 1 - progress if config.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2


def _optimizer(adapted: Adapted, config: TrainingConfig) -> torch.optim.Optimizer:
    groups = [(adapted.adapter_parameters(), config.lr), (adapted.head_parameters(), config.head_lr)]
    filled = [{"params": params, "lr": rate} for params, rate in groups if params]
    return torch.optim.AdamW(filled, weight_decay=config.weight_decay)


def _batches(data: Batch, batch_size: int, seed: int) -> Iterator[Batch]:
    """Epoch after epoch of shuffled batches, the last short one dropped unless it is the only one."""
    generator, count = torch.Generator().manual_seed(seed), size(data)
    batch_size = min(batch_size, count)
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - batch_size + 1, batch_size):
            yield take(data, order[start : start + batch_size])


def _started(adapted: Adapted, task: Task, config: TrainingConfig, base_metric: float | None) -> RunStarted:
    adapter = sum(p.numel() for p in adapted.adapter_parameters())
    head = sum(p.numel() for p in adapted.head_parameters())
    total = sum(p.numel() for p in adapted.model.parameters())
    shapes = {name: (w.shape[0], w.shape[1]) for name, w in adapted.layers.items()}
    return RunStarted(adapter + head, adapter, total, _saved_bytes(adapted, task, config), shapes, base_metric)


def _saved_bytes(adapted: Adapted, task: Task, config: TrainingConfig) -> int:
    data = task.split("train")
    rows = take(data, torch.arange(min(config.batch_size, size(data))))
    with torch.random.fork_rng():
        return saved_bytes(lambda: task.loss(adapted.model.train(), rows), adapted.model.parameters())


def _evaluate(adapted: Adapted, task: Task, step: int, split: Split) -> Evaluated:
    score = task.score(adapted.model, split)
    return Evaluated(step, split, score.loss, score.metric, score.extras)


def _spectra(adapted: Adapted, step: int) -> Iterator[SpectrumMeasured]:
    for name, delta in adapted.deltas().items():
        found = spectrum(delta)
        yield SpectrumMeasured(
            step,
            name,
            tuple(found.singular_values.tolist()),
            found.effective_rank,
            found.stable_rank,
            found.participation_ratio,
            found.norm,
            found.norm / _norm(adapted.layers[name]),
            adapted.dead_units(name),
        )


def _norm(weight: Tensor) -> float:
    return float(weight.double().norm())

"""How long runs take, from those that are there or a few steps."""

import statistics
import time
from collections.abc import Sequence

import torch
from torch import nn

from neatlab.config import RunConfig
from neatlab.events import Step
from neatlab.experiments.execute import build, make_task, one_thread
from neatlab.runs.store import Store
from neatlab.runtime.numbers import duration
from neatlab.tasks import Task
from neatlab.tasks.base import Batch, select, size
from neatlab.training.batches import training_data
from neatlab.training.loop import train

FORWARD_SHARE = 1 / 3  # of a step's time: the backward pass takes twice the forward's


def seconds_together(configs: Sequence[RunConfig], store: Store) -> float:
    """About how long these runs take one after the other."""
    return sum(config.training.steps for config in configs) * seconds_per_step(configs, store)


def seconds_per_step(todo: Sequence[RunConfig], store: Store) -> float:
    """The time of a step, from runs of the task that are there, else from a few steps of the first and last arm."""
    known = [
        r.summary["seconds_per_step"] for r in store.runs() if r.config.task == todo[0].task and r.status == "finished"
    ]
    return statistics.median(known or [_timed(config) for config in (todo[0], todo[-1])])


def arm_time(config: RunConfig) -> str:
    """About how long this machine trains the run, in words."""
    steps = config.training.steps
    return f"about {duration(max(1, run_seconds(config)))} an arm here ({steps:,} steps)"


def run_seconds(config: RunConfig) -> float:
    """About how long this machine trains the run, from one step and the sizes of the splits."""
    task, training = make_task(config), config.training
    data = training_data(task, training.train_size, config.seed)
    count = min(max(training.batch_size // training.accumulate, 1), size(data))
    part = _seconds_of_part(build(config, task).model, task, select(data, torch.arange(count)))
    scored = (training.steps // training.eval_every + 1) * size(task.split("validation")) + size(task.split("test"))
    return part * (training.accumulate * training.steps + FORWARD_SHARE * scored / count)


def _seconds_of_part(model: nn.Module, task: Task, rows: Batch) -> float:
    """Of a forward and backward pass over these examples."""
    seconds = 0.0
    with one_thread():
        for _ in range(2):  # the first one pays for what is made once
            begin = time.perf_counter()
            loss = task.loss(model, rows)
            loss.backward()
            if loss.is_cuda:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - begin
    return seconds


def _timed(config: RunConfig) -> float:
    short = config.training.model_copy(update={"steps": 5})
    task, begin = make_task(config), time.perf_counter()
    with one_thread():
        events = train(build(config, task), task, short, config.seed, test=False)
        seconds = [event.seconds for event in events if isinstance(event, Step)]
    return statistics.median(seconds) if seconds else time.perf_counter() - begin

"""Many runs at once on Dask: an in-process cluster of one-thread workers, or any cluster by its scheduler's address.

A run's result is in the store before its task counts as done, so the death of a worker loses the runs under way
and no other; Dask gives these to another worker. Workers that do not share the driver's folder send their files.
"""

import functools
import multiprocessing
import os
import queue
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask
import distributed
from distributed import Client, Future, LocalCluster, as_completed
from distributed.utils import get_mp_context

from neatlab.config import RunConfig
from neatlab.errors import BadInput, NeatlabError, StoreError
from neatlab.events import Evaluated, Event, Step, from_dict, to_dict
from neatlab.experiments.execute import Listener, execute, is_rung, one_thread
from neatlab.runs.store import Store
from neatlab.runtime import distributed as parallel
from neatlab.runtime.environment import package_versions

ShouldContinue = Callable[[RunConfig, Evaluated], bool]
Files = dict[str, bytes]

PRELOADED = ["distributed", "neatlab.experiments.preload"]
CONNECT_SECONDS = 8
REPORT_SECONDS = 0.2  # how often a worker reports steps, and asks whether to stop
ANSWER_TIMEOUT_SECONDS = 60


@contextmanager
def cluster(workers: int | None = None, scheduler: str | None = None) -> Iterator[Client]:
    """A client of a local cluster that lives as long as this context, or of the cluster at `scheduler`.

    Args:
        workers: Local worker processes, one torch thread each; as many as the machine has cores by default.
        scheduler: Address of a Dask scheduler, such as "tcp://host:8786".

    Yields:
        The client.

    Raises:
        BadInput: No scheduler answers, it has no workers, or their packages differ from ours; or a launcher started
            this process among others.
    """
    parallel.require_single_process("a sweep")
    if scheduler is not None:
        with _connected(scheduler) as client:
            _check_workers(client, scheduler)
            yield client
        return
    with dask.config.set(_local_settings()), ExitStack() as stack:
        with _held_interrupts():
            local = stack.enter_context(_local_cluster(workers or os.cpu_count() or 1))
        yield stack.enter_context(Client(local, set_as_default=False))


def on_demand(stack: ExitStack, workers: int | None, scheduler: str | None) -> Callable[[], Client]:
    """As `cluster`, opened when it is first asked for, which takes seconds, and closed with `stack`."""
    return functools.cache(lambda: stack.enter_context(cluster(workers, scheduler)))


@contextmanager
def _held_interrupts() -> Iterator[None]:
    """An interrupt counts once this has ended: a worker that loses its parent while it starts prints a traceback."""
    if threading.current_thread() is not threading.main_thread():  # it gets none
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        signal.raise_signal(held[0])


def _local_cluster(workers: int) -> LocalCluster:
    """Its workers are forked from a process that has imported what a run needs: once, not once each."""
    context = get_mp_context()  # it sets a list of its own the first time
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(PRELOADED)
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        silence_logs=50,
    )


def _local_settings() -> dict[str, Any]:
    """One thread a worker; and Dask's web server, which cannot be left out, on loopback with nothing to serve."""
    one_thread_each = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    empty: dict[str, Any] = {f"distributed.{part}.http.routes": [] for part in ("scheduler", "worker", "nanny")}
    can_fork = "forkserver" in multiprocessing.get_all_start_methods()
    method = {"distributed.worker.multiprocessing-method": "forkserver" if can_fork else "spawn"}
    return {"distributed.nanny.pre-spawn-environ": one_thread_each, **method, **empty}


def _connected(scheduler: str) -> Client:
    try:
        return Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise BadInput(
            f"no Dask scheduler answers at {scheduler!r} within {CONNECT_SECONDS} s; "
            "start one with `dask scheduler` and give its address as tcp://HOST:PORT"
        ) from error


def _check_workers(client: Client, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        raise BadInput(
            f"the scheduler at {scheduler!r} has no workers; start some with `dask worker {scheduler}`"
        ) from None
    ours = package_versions()
    for worker, theirs in client.run(package_versions).items():
        differing = [
            f"{name} {theirs.get(name)} (here {ours[name]})" for name in ours if theirs.get(name) != ours[name]
        ]
        if differing:
            raise BadInput(f"worker {worker} has other versions: {', '.join(differing)}; install the same everywhere")


def run_all(
    configs: Sequence[RunConfig],
    store: Store,
    client: Callable[[], Client],
    on_event: Listener | None = None,
    should_continue: ShouldContinue | None = None,
) -> dict[str, str]:
    """Train every run that the store does not hold yet.

    Args:
        configs: The runs.
        store: The driver's store.
        client: Gives the cluster that they go to; called only if there is something to do.
        on_event: Called with events as they arrive; steps are thinned to a few a second.
        should_continue: Asked after each evaluation on validation data whether the run goes on; None lets all go on.

    Returns:
        Run id → reason, for each run that did not end in spite of Dask's retries.

    Raises:
        StoreError: A store that cannot be written; the runs under way are given up.
    """
    todo = {c.run_id: c for c in configs if store.finished(c, pruned=should_continue is not None) is None}
    if not todo:
        return {}
    with _Session(client(), store, todo, on_event, should_continue) as session:
        futures = [session.submit(config) for config in todo.values()]
        try:
            reasons = {_run_id(future): _collect(future, store) for future in as_completed(futures, loop=client().loop)}
        except BaseException:
            session.stop(futures)
            raise
        return {run_id: reason for run_id, reason in reasons.items() if reason}


class _Session:
    """The driver's side of one call of `run_all`: receives the workers' events, answers them, asks them to stop."""

    def __init__(
        self,
        client: Client,
        store: Store,
        todo: dict[str, RunConfig],
        on_event: Listener | None,
        should_continue: ShouldContinue | None,
    ) -> None:
        self._client, self._store, self._todo = client, store, todo
        self._on_event, self._should_continue = on_event, should_continue
        self.name = f"neatlab-{uuid.uuid4().hex}"
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._answer, daemon=True)

    def __enter__(self) -> "_Session":
        self._mark = self._store.mark()
        self._client.subscribe_topic(self.name, lambda message: self._messages.put(message[1]))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._messages.put(None)
        self._thread.join(timeout=5)

    def submit(self, config: RunConfig) -> Future:
        """Send one run to the cluster."""
        root, prunes = str(self._store.root.resolve()), self._should_continue is not None
        words = (config.model_dump(), root, self._mark, self.name, prunes)
        return self._client.submit(train_one, *words, key=f"{self.name}/{config.run_id}", pure=False)

    def stop(self, futures: Sequence[Future]) -> None:
        """Give up what has not ended; each run under way marks itself as interrupted."""
        distributed.Event(f"{self.name}-stop", client=self._client).set()
        self._client.cancel([future for future in futures if not future.done()])
        deadline = time.monotonic() + 10 * REPORT_SECONDS
        while time.monotonic() < deadline and any(self._client.processing().values()):
            time.sleep(0.1)

    def _answer(self) -> None:
        """Pass events on, and answer the workers that wait, until None is received."""
        while (message := self._messages.get()) is not None:
            config, event = self._todo[message["run"]], from_dict(message["event"])
            if self._on_event:
                self._on_event(config, event)
            if message["asks"] and self._should_continue and isinstance(event, Evaluated):
                answer = self._should_continue(config, event)
                distributed.Queue(f"{self.name}/{config.run_id}", client=self._client).put(answer)


def _run_id(future: Future) -> str:
    return str(future.key).rpartition("/")[2]


def _collect(future: Future, store: Store) -> str | None:
    """Bring a finished task's files home; the reason if there are none."""
    if future.cancelled():
        return "cancelled"
    error = future.exception()
    if isinstance(error, StoreError):
        raise error
    if error is not None:
        return str(error).splitlines()[0] if isinstance(error, NeatlabError) else f"{type(error).__name__}: {error}"
    files: Files = future.result()
    if files:
        store.adopt(_run_id(future), files)
    return None


def train_one(config: dict[str, Any], root: str, mark: str, session: str, prunes: bool) -> Files:
    """Runs in a worker: train, into the driver's folder where it is shared, else into a folder of its own.

    Returns:
        Path in the run directory → content, for the driver to keep; {} where the folder is shared.
    """
    run = RunConfig.parse(config, "run")
    if Store(root).has_mark(mark):
        _train(run, Store(root), session, prunes)
        return {}
    with tempfile.TemporaryDirectory() as folder:
        _train(run, Store(folder), session, prunes)
        path = Path(folder) / run.run_id
        return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def _train(run: RunConfig, store: Store, session: str, prunes: bool) -> None:
    worker, stop, last = distributed.get_worker(), distributed.Event(f"{session}-stop"), 0.0

    def send(event: Event, asks: bool) -> None:
        worker.log_event(session, {"run": run.run_id, "event": to_dict(event), "asks": asks})

    def should_continue(event: Evaluated) -> bool:
        send(event, asks=True)
        return bool(distributed.Queue(f"{session}/{run.run_id}").get(timeout=ANSWER_TIMEOUT_SECONDS))

    with one_thread():
        events = execute(run, store, should_continue if prunes else None)
        for event in events:
            due = time.monotonic() - last > REPORT_SECONDS
            if due and stop.is_set():
                events.close()  # type: ignore[attr-defined]  # a generator, which marks the run as interrupted
                return
            asked = prunes and is_rung(event)
            if not asked and (due or not isinstance(event, Step)):
                send(event, asks=False)
            last = time.monotonic() if due else last

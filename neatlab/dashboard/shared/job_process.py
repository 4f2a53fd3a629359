"""The processes of jobs: started, listened to, killed.

They are forked from a server that has imported torch once, so that a training begins in a fraction of a second.
"""

import contextlib
import multiprocessing as mp
import threading
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from neatlab.config import RunConfig
from neatlab.dashboard.shared.entries import PRELOADED
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.job import Command, Job
from neatlab.dashboard.shared.memory import is_out_of_memory, limit_memory, too_much
from neatlab.errors import NeatlabError


def warm_up() -> None:
    """Let the server that processes are forked from import its modules now."""
    forkserver.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()


class JobProcesses:
    """Starts the processes of jobs and handles their messages.

    Args:
        root: Runs folder.
        lock: Guards the state of every job.
        active: Gives the jobs that have not ended.
        memory: Bytes that a brief job may take: these open what visitors have brought.
        makers: Id of a run → the visitor who has made it, filled here.
    """

    def __init__(
        self,
        root: str,
        lock: threading.RLock,
        active: Callable[[], list[Job]],
        memory: int | None,
        makers: dict[str, str],
    ) -> None:
        self._root, self._lock, self._active, self._memory, self._makers = root, lock, active, memory, makers
        self._context: Any = mp.get_context("forkserver")
        self._children = threading.Lock()  # to start a process asks after all others, as to join one does

    def start(self, job: Job, on_end: Callable[[Job], None]) -> None:
        """Start a job's process in a thread that listens to it.

        Args:
            job: The job.
            on_end: Called when its process is gone, whatever happened.
        """
        job.pipe, theirs = pipes = self._context.Pipe()
        order = (job.entry, job.order, self._root, theirs, self._memory if job.brief else None)
        job.process = self._context.Process(target=run_entry, args=order)
        arguments = (job, job.process, *pipes, on_end)
        threading.Thread(target=self._listen, args=arguments, name=f"job {job.key}", daemon=True).start()

    def write(self, job: Job, command: Command) -> None:
        """Send a command to a process that listens."""
        if command != "stop":
            job.phase = "running" if command == "go" else "pausing"
        job.commands += 1
        try:
            if job.pipe:
                job.pipe.send(command)
        except OSError:
            pass  # it has just ended

    def kill(self, job: Job) -> None:
        """End a job's process at once."""
        with contextlib.suppress(OSError, ValueError, AttributeError):  # it has just ended, or not yet begun
            job.process.kill()  # type: ignore[union-attr]

    def _listen(
        self,
        job: Job,
        process: BaseProcess,
        pipe: "Connection[Any, Any]",
        theirs: "Connection[Any, Any]",
        on_end: Callable[[Job], None],
    ) -> None:
        """Start its process and handle its messages until it ends; whatever happens, its slot is free again."""
        try:
            with self._children:
                process.start()
            theirs.close()
            while True:
                self._handle_message(job, *pipe.recv())
        except (EOFError, OSError):
            pass
        except (NeatlabError, TypeError, ValueError) as error:
            job.refusal, job.stopped = FieldError("run", f"the training process said what is not known: {error}"), True
            self.kill(job)
        finally:
            self._join(job, process)
            pipe.close()
            on_end(job)

    def _join(self, job: Job, process: BaseProcess) -> None:
        """Wait for the end of its process, and note where that ended by itself."""
        code = None
        if process.pid is not None:
            wait([process.sentinel])
            with self._children:
                process.join()
                code = process.exitcode
        if code != 0 and not job.refusal and not job.stopped:
            job.refusal = FieldError("run", f"the training process ended by itself ({code}); Train starts it anew")

    def _handle_message(self, job: Job, kind: str, *values: Any) -> None:
        if kind == "refused":
            field, message = values
            job.refusal = FieldError(field, message)
        elif kind == "result":
            job.result = values[0]
        elif kind == "paused":
            self._handle_paused(job, values[0])
        else:
            self._handle_runs(job, tuple(RunConfig.parse(config, "run") for config in values[0]))

    def _handle_paused(self, job: Job, received: int) -> None:
        """Its process waits for a command; the answer to an earlier command than the last says nothing."""
        with self._lock:
            if job.phase == "pausing" and received == job.commands:
                job.phase = "paused"

    def _handle_runs(self, job: Job, runs: tuple[RunConfig, ...]) -> None:
        """Let it train these runs, unless another job does."""
        while (conflict := self._conflict(runs)) and conflict[0].stopped:  # it will be gone in a moment
            time.sleep(0.05)
        with self._lock:
            if conflict := self._conflict(runs):
                job.refusal = FieldError(
                    "run", f"run {conflict[1]} is being trained in another window; wait, or take another seed"
                )
                job.first = "stop"
            job.runs = () if conflict else runs
            made = [run.run_id for run in job.runs if not Path(self._root, run.run_id, "summary.json").exists()]
            self._makers |= dict.fromkeys(made, job.visitor)
            job.phase = "running"
            self.write(job, job.first)

    def _conflict(self, runs: Sequence[RunConfig]) -> tuple[Job, str] | None:
        """Another job and a run that both write: two processes must not share a run's folder."""
        ids = {run.run_id for run in runs}
        return next(((job, run.run_id) for job in self._active() for run in job.runs if run.run_id in ids), None)


def run_entry(entry: str, order: Any, root: str, pipe: "Connection[Any, Any]", memory: int | None = None) -> None:
    """What a job's process does: its modules are imported here, never by the page's server."""
    module, _, name = entry.partition(":")
    try:
        run = getattr(import_module(module), name)
        if memory is not None:
            limit_memory(memory)
        run(order, root, pipe)
    except KeyboardInterrupt:  # Ctrl+C reaches the whole group; the page's server says goodbye for all
        pass
    except (MemoryError, RuntimeError) as error:
        if memory is None or not is_out_of_memory(error):
            raise
        pipe.send(("refused", "run", too_much(memory)))
    finally:
        pipe.close()

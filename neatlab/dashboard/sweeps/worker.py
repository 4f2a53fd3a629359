"""What a sweep's process does: a local Dask cluster whose workers end with it."""

import logging
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from neatlab.dashboard.shared.process import begin
from neatlab.dashboard.sweeps.estimate import workers
from neatlab.dashboard.sweeps.request import SweepOrder
from neatlab.errors import NeatlabError
from neatlab.experiments.sweep import Sweep


def run(order: SweepOrder, root: str, pipe: "Connection[Any, Any]") -> None:
    """Train what the store does not hold of an order's grid.

    Args:
        order: The grid.
        root: Runs folder.
        pipe: "stop", or its end, ends the sweep; it gives ("runs", configurations) before the first step and
            ("refused", "run", message) where there will be none or some were lost.
    """
    begin()
    _silence_logs()
    try:
        planned = sweep(order, root)
        pipe.send(("runs", [config.model_dump() for config in planned.todo]))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=_wait_for_stop, args=(pipe,), daemon=True).start()
        planned.run(workers=workers())
    except (NeatlabError, OSError) as error:
        pipe.send(("refused", "run", str(error)))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the last words have been said


def sweep(order: SweepOrder, root: str) -> Sweep:
    """The order as `neatlab.sweep` understands it."""
    settings: dict[str, Any] = {"seeds": order.seeds, "max_seeds": order.max_seeds, "margin": order.margin}
    settings |= {"reference": order.reference, "training": order.training, "lr": order.rates}
    return Sweep(order.task, [*order.others, order.base], order.grid, runs=root, **settings)


def _silence_logs() -> None:
    """Keep Dask's complaints about a cluster that goes down in the middle of its work out of the server's log."""
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None


def _wait_for_stop(pipe: "Connection[Any, Any]") -> None:
    """Interrupt the main thread when the page says stop, or is gone.

    A real signal, as `_thread.interrupt_main` does not wake a thread that waits for a lock.
    """
    try:
        while pipe.recv() != "stop":
            pass
    except (EOFError, OSError):
        pass
    os.kill(os.getpid(), signal.SIGINT)

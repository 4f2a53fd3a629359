"""Programs in processes of their own that do not pay for the imports each time: forked from one that has them.

What a shell and `torchrun` add to that is tested with real ones, once each.
"""

import atexit
import multiprocessing as mp
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import torch

from neatlab.cli import main
from neatlab.dashboard.shared.entries import PRELOADED


def neatlab(*words: object, **environment: str) -> CompletedProcess[str]:
    """`python -m neatlab` with these words."""
    return _run(main, words, [environment])


def neatlab_ranks(*words: object, processes: int = 2, **environment: str) -> CompletedProcess[str]:
    """`torchrun -m neatlab` with these words."""
    return _ranks(main, words, processes, environment)


def script_ranks(*words: object, processes: int = 2, **environment: str) -> CompletedProcess[str]:
    """`torchrun` with a script and its words."""
    return _ranks(_script, words, processes, environment)


def _script(words: list[str]) -> None:
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")


def _ranks(
    program: Callable[[list[str]], Any], words: tuple[object, ...], processes: int, environment: Mapping[str, str]
) -> CompletedProcess[str]:
    """Processes that find one another as those of `torchrun` do, in a store that the launcher keeps."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GLOO_SOCKET_IFNAME": "lo",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        **environment,
    }
    return _run(program, words, [{**shared, "RANK": str(i), "LOCAL_RANK": str(i)} for i in range(processes)])


def _run(
    program: Callable[[list[str]], Any], words: tuple[object, ...], environments: list[dict[str, str]]
) -> CompletedProcess[str]:
    """Fork one process for each environment; the first that fails ends the others, as with a launcher."""
    forkserver.set_forkserver_preload([*PRELOADED, "accelerate"])
    context, texts = mp.get_context("forkserver"), list(map(str, words))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        running = [
            context.Process(target=_enter, args=(program, texts, {**os.environ, **environment}, folder))
            for environment in environments
        ]
        for process in running:
            process.start()
        code = _first_failure(running)
        return CompletedProcess(texts, code, (folder / "1").read_text(), (folder / "2").read_text())


def _first_failure(running: list[Any]) -> int:
    """The exit code of the first process that fails, else 0, once all have ended."""
    codes, left = [0], {process.sentinel: process for process in running}
    while left:
        for sentinel in wait(list(left)):
            process = left.pop(sentinel)
            process.join()
            codes.append(process.exitcode)
        if any(codes):
            for process in left.values():
                process.terminate()
    return next(filter(None, codes), 0)


def _enter(program: Callable[[list[str]], Any], words: list[str], environment: dict[str, str], folder: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for stream in (1, 2):
        os.dup2(os.open(folder / str(stream), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
    try:
        code = program(words)
    finally:
        atexit._run_exitfuncs()  # a forked process leaves without them
    sys.exit(code)

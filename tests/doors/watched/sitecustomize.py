"""Read by every Python process whose PYTHONPATH holds this folder: notes whom it asks, and puts its clock back."""

import os
import sys
import time
from itertools import count
from typing import Any

NOTED = os.environ.get("NEATLAB_CALLS", "")  # file that takes a line for each other machine asked
LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", "None")
READ = count()


def note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):  # not a socket in the file system
        host = arguments[1][0]
    else:
        return
    text = host.decode() if isinstance(host, bytes) else str(host)
    if text not in LOCAL:
        with open(NOTED, "a") as file:
            file.write(f"{event} {text}\n")


if NOTED:
    sys.addaudithook(note)
    begun = time.time()
    time.time = lambda: begun - next(READ)

"""`python -m neatlab`, with the runs of a sweep held at a gate in each process that it starts."""

import os
import signal
import sys

from neatlab.cli import main
from tests.gate import install

install(os.environ["NEATLAB_TEST_GATE"])  # whichever process imports this: the workers do so before their first task

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background is born deaf to it
    sys.exit(main())

"""The app as ever, but what it draws for a window reaches it late, by a random time.

`python slowed.py --port 7860`
"""

import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from neatlab.cli import main
from neatlab.dashboard.train import follow

LATEST = 0.8  # seconds
delays = random.Random(0)
update = follow.update


def slowed(*given: Any, **named: Any) -> follow.Update:
    """An update, and then a wait: it says what was so before."""
    made = update(*given, **named)
    time.sleep(delays.uniform(0, LATEST))
    return made


if __name__ == "__main__":
    follow.update = slowed
    sys.exit(main(["app", *sys.argv[1:]]))

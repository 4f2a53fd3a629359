"""How long a window's training will go on: from how fast it went lately, evaluations and waiting included."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

LOOKED_BACK = 15.0  # seconds
AT_LEAST = 1.0  # second that must have been seen


@dataclass
class TimeLeft:
    """The steps of all arms together over time.

    Args:
        clock: Seconds that only grow.
    """

    clock: Callable[[], float] = time.monotonic
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def seconds(self, done: int, total: int) -> float | None:
        """Seconds until `total` steps are done; None while too little was seen.

        Args:
            done: Steps of all arms so far.
            total: All that were asked for.
        """
        now = self.clock()
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()  # another training
        self._seen.append((now, done))
        while now - self._seen[0][0] > LOOKED_BACK:
            self._seen.popleft()
        since, before = self._seen[0]
        if now - since < AT_LEAST or done == before:
            return None
        return (total - done) * (now - since) / (done - before)

    def pause(self) -> None:
        """Forget: a pause is not slowness."""
        self._seen.clear()

"""Call asynchronous handlers from ordinary tests."""

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def awaited(result: Awaitable[T]) -> T:
    """The result, from an event loop of its own: after a browser test the main thread has a running one."""

    async def wait() -> T:
        return await result

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, wait()).result()

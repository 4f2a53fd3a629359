"""Passwords, plain or hashed: `python -m neatlab.dashboard.doors.passwords` asks for one and prints its hash."""

import asyncio
import getpass
import hashlib
import hmac
import re
import secrets
import sys
from collections.abc import Callable
from typing import Any

HASH = re.compile(r"scrypt:(\d{1,7}):(\d{1,2}):(\d{1,2})\$(\w+)\$([0-9a-f]{128})")  # as Werkzeug and Flask write it
COST, BLOCK, PARALLEL = 2**15, 8, 1


def hashed(password: str) -> str:
    """The hash of a password, for the file of `--auth-file`."""
    salt = secrets.token_hex(8)
    return f"scrypt:{COST}:{BLOCK}:{PARALLEL}${salt}${_scrypt(password, salt, COST, BLOCK, PARALLEL)}"


def matches(given: str, stored: str) -> bool:
    """Whether a password is the one that is stored, plain or as a hash; takes as long for a wrong one."""
    if match := HASH.fullmatch(stored):
        cost, block, parallel = (int(number) for number in match.groups()[:3])
        given, stored = _scrypt(given, match[4], cost, block, parallel), match[5]
    return hmac.compare_digest(given.encode(), stored.encode())


def login(user: str, password: str) -> Callable[[str, str], Any]:
    """What Gradio asks whether a visitor may log in.

    Args:
        user: The name.
        password: The password, or its hash.
    """

    async def check(given_user: str, given_password: str) -> bool:
        is_password = await asyncio.to_thread(matches, given_password, password)  # a hash takes a tenth of a second
        return hmac.compare_digest(given_user.encode(), user.encode()) and is_password

    return check


def _scrypt(password: str, salt: str, cost: int, block: int, parallel: int) -> str:
    memory = 132 * cost * block * parallel  # bytes; what OpenSSL allows by default is a little less than it needs
    derived = hashlib.scrypt(
        password.encode(), salt=salt.encode(), n=cost, r=block, p=parallel, maxmem=memory, dklen=64
    )
    return derived.hex()


if __name__ == "__main__":
    sys.stdout.write(hashed(getpass.getpass()) + "\n")

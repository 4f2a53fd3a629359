"""Which names the server answers to, and whose pages may ask it: a page that points its own name here is refused."""

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from neatlab.dashboard.doors.answers import refuse
from neatlab.errors import BadInput, shown

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII | re.IGNORECASE)  # name or address, and a port
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class TrustedHosts:
    """The names and addresses that a request may be meant for.

    Args:
        host: What the server listens on: loopback names and addresses always count, and where this is a wildcard every
            other address and the machine's own name, for a name that an attacker owns is no address.
        trusted: Further names, such as that of a proxy; their pages may send requests too.
    """

    def __init__(self, host: str, trusted: Iterable[str] = ()) -> None:
        self.given = frozenset(map(_checked, trusted))
        self._is_wildcard = _address(host) in (ip_address("0.0.0.0"), ip_address("::"))  # noqa: S104  # compared
        own = {socket.gethostname().lower()} if self._is_wildcard else set()
        self._names = {"localhost", host.strip("[]").lower(), *own, *self.given}

    def includes(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name = host_name(host)
        address = _address(name)
        return name in self._names or (address is not None and (self._is_wildcard or address.is_loopback))

    def is_own(self, origin: str, host: str) -> bool:
        """Whether an Origin header is that of this server's page, as opened under `host`, or of a trusted name."""
        scheme, separator, location = origin.lower().partition("://")
        port = DEFAULT_PORTS.get(scheme, "")
        is_same = location.removesuffix(port) == host.lower().removesuffix(port)
        return bool(separator) and (is_same or host_name(location) in self.given)


class HostDoor:
    """Refuses what is meant for another server, or was sent by another site's page.

    Args:
        app: What is behind.
        hosts: The names of this server.
    """

    def __init__(self, app: ASGIApp, hosts: TrustedHosts) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._hosts.includes(host):
            name = shown(host_name(host) or host)
            message = f"this server does not answer to {name}; it does when started with --trust-host NAME"
            await refuse(scope, receive, send, 403, message)
        elif self._is_foreign(scope["method"], host, headers):
            await refuse(scope, receive, send, 403, "a page of another site sent this request; open this server's own")
        else:
            await self._app(scope, receive, send)

    def _is_foreign(self, method: str, host: str, headers: Headers) -> bool:
        """Whether another site's page has sent it; to follow a link to this page is no such thing."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None:
            return not self._hosts.is_own(origin, host)
        is_link = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        return site not in ("none", "same-origin") and not is_link


def host_name(host: str) -> str:
    """The name or address in a Host header, small and without its port; empty where there is none."""
    match = HOST.fullmatch(host)
    return match[1].strip("[]").lower() if match else ""


def _checked(name: str) -> str:
    if not name or (host_name(name) != name.lower() and _address(name) is None):
        raise BadInput(f"--trust-host {shown(name)}; give a name or an address alone, such as lab.example.org")
    return name.strip("[]").lower()


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name.strip("[]"))
    except ValueError:
        return None

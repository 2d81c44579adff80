"""Which callers are answered, by the headers that browsers send: a web page elsewhere is not.

A page in a browser can have a name of its own resolve to this machine (DNS rebinding), which its Host
header shows; and it can send requests across origins, which the Origin header shows.
"""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from serving.config import is_loopback


@dataclass(frozen=True)
class Callers:
    """The callers of a REST server.

    Attributes:
        host: address that the server listens on.
        cors: whether web pages of other origins may call.
        own_paths: paths for people alone: their host must be this machine wherever the server listens.
    """

    host: str
    cors: bool = False
    own_paths: frozenset[str] = frozenset()

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> str | None:
        """Say why a request is refused, or return None."""
        host = headers.get("Host", "")
        if not self._is_known(host, path):
            return "the Host header is not this machine"
        # A preflight says nothing of a model: it is answered as TensorFlow Serving does.
        if not self.cors and method != "OPTIONS" and is_foreign(headers.get("Origin", ""), host):
            return "the Origin header is another site's: allow it with --rest_api_enable_cors_support"
        return None

    def _is_known(self, host: str, path: str) -> bool:
        if is_loopback(self.host):
            return is_local(host)
        return path not in self.own_paths or is_local(host) or _name(host) in self._names()

    def _names(self) -> set[str]:
        machine = socket.gethostname().lower()
        return {self.host.strip("[]").lower(), machine, f"{machine}.local", machine.partition(".")[0]}


def is_local(host: str) -> bool:
    """Return whether a Host header names this machine: an address, localhost, or nothing."""
    name = _name(host)
    if name is None:
        return False
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_foreign(origin: str, host: str) -> bool:
    """Return whether an Origin header, if there is one, names another site than the Host header."""
    if not origin:
        return False
    try:
        parts = urlsplit(origin)
        named = urlsplit(f"//{host}")
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        if parts.hostname is None:  # "null": a file, or a frame without rights
            return True
        return (parts.hostname, parts.port or usual) != (named.hostname, named.port or usual)
    except ValueError:
        return True


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return None

"""Download one example by its URL, under limits of size and time, and only from public addresses.

An address is resolved once, checked and then connected to by number: a name that resolves to something else
a moment later changes nothing (DNS rebinding). Every redirect is checked the same way. Proxies of the
environment are not used, since they would resolve the name again.
"""

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from features.errors import AccessError, DataError, NoInputError, ServableError, UsageError
from features.names import printable

#: Bytes of one download; ingest takes as many of one file (``data.max_file_bytes``).
MAX_BYTES = 64 << 20
MAX_REDIRECTS = 5
PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"https?://[^\s\x00-\x1f]+", re.IGNORECASE)
_REDIRECTS = (301, 302, 303, 307, 308)
_BLOCK = 1 << 16
#: Addresses of IPv6 that lead to one of IPv4, which their last 32 bits say.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Limits:
    """What a download may take.

    Attributes:
        seconds: from the first connection to the last byte, redirects included.
        most: bytes of the answer.
        private: whether loopback, private and other addresses that are not public are allowed.
    """

    seconds: float = 30.0
    most: int = MAX_BYTES
    private: bool = False


def is_url(text: str) -> bool:
    """Return whether a text is one http or https URL and nothing else."""
    return _URL.fullmatch(text) is not None


def fetch(url: str, limits: Limits) -> bytes:
    """Return what a URL leads to.

    Raises:
        UsageError: it is no URL that can be requested.
        AccessError: it leads to an address that is not public, or from https to http.
        NoInputError: nothing answers, or not with 200.
        DataError: the answer is too large, takes too long or ends early.
    """
    until = time.monotonic() + limits.seconds
    place = _parsed(url)
    for _ in range(MAX_REDIRECTS + 1):
        response = _visit(place, limits, until)
        if isinstance(response, bytes):
            return response
        following = _parsed(urljoin(place.geturl(), response))
        if (place.scheme, following.scheme) == ("https", "http"):
            raise AccessError(f"{printable(url)} cannot be downloaded", got="a redirect from https to http")
        place = following
    raise NoInputError(f"{printable(url)} cannot be downloaded", got=f"more than {MAX_REDIRECTS} redirects")


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError as error:
        raise UsageError("cannot read the URL", got=f"{printable(url)}: {error}") from None
    if parts.scheme not in PORTS or not parts.hostname or parts.username is not None:
        raise UsageError(
            "cannot read the URL", got=printable(url), expected="http(s)://HOST/PATH, without a user name"
        )
    return parts


def _visit(place: SplitResult, limits: Limits, until: float) -> bytes | str:
    """Request one URL: its content, or where it redirects to."""
    connection = _connection(place, _addresses(place, limits), until)
    watch = threading.Timer(max(0.0, until - time.monotonic()), connection.abort)
    watch.daemon = True
    watch.start()
    try:
        return _answer(connection, place, limits)
    except (ServableError, OSError, http.client.HTTPException, ValueError) as error:
        raise _explained(error, place, limits, late=connection.late) from None
    finally:
        watch.cancel()
        connection.close()


def _explained(error: Exception, place: SplitResult, limits: Limits, *, late: bool) -> ServableError:
    """Make the error for a request that failed."""
    if late or isinstance(error, TimeoutError):
        return DataError(f"{_shown(place)} takes too long", expected=f"at most {limits.seconds:g} s")
    if isinstance(error, ServableError):
        return error
    reason: object = getattr(error, "strerror", None) or error or type(error).__name__
    if isinstance(error, ssl.SSLError):
        reason = f"TLS: {error.reason or error}"
    return NoInputError(f"{_shown(place)} cannot be downloaded", got=reason)


def _answer(connection: "_Pinned", place: SplitResult, limits: Limits) -> bytes | str:
    path = quote(place.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{place.query}" if place.query else "")
    connection.request("GET", path, headers={"Accept-Encoding": "identity", "User-Agent": "servable"})
    with connection.getresponse() as response:
        return _content(connection, response, place, limits)


def _content(connection: "_Pinned", response: Any, place: SplitResult, limits: Limits) -> bytes | str:
    location = response.getheader("Location")
    if response.status in _REDIRECTS and location:
        return location
    if response.status != 200:
        raise NoInputError(
            f"{_shown(place)} cannot be downloaded", got=printable(f"{response.status} {response.reason}")
        )
    if encoding := response.getheader("Content-Encoding"):
        raise DataError(f"{_shown(place)} cannot be used", got=f"the encoding {printable(encoding)}")
    return _body(connection, response, place, limits)


def _body(connection: "_Pinned", response: Any, place: SplitResult, limits: Limits) -> bytes:
    too_large = DataError(
        f"{_shown(place)} is too large",
        expected=f"at most {limits.most:,} bytes",
        todo="download it yourself",
    )
    if (response.length or 0) > limits.most:
        raise too_large
    parts, size = [], 0
    while block := response.read(_BLOCK):
        size += len(block)
        if size > limits.most:
            raise too_large
        parts.append(block)
    if response.length or connection.late:
        raise DataError(f"{_shown(place)} ends early", got=f"{size:,} bytes")
    return b"".join(parts)


def _addresses(place: SplitResult, limits: Limits) -> list[str]:
    """Resolve the host of a URL; all of its addresses must be allowed."""
    host = place.hostname or ""
    try:
        entries = socket.getaddrinfo(host, _port(place), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NoInputError(
            f"{_shown(place)} cannot be downloaded", got=f"{printable(host)}: {reason}"
        ) from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    refused = [address for address in addresses if not limits.private and not is_public(address)]
    if refused:
        raise AccessError(
            f"{_shown(place)} is not on the public internet",
            got=f"{printable(host)} at {refused[0]}",
            todo="allow it with --allow-private-addresses",
        )
    return addresses


def is_public(address: str) -> bool:
    """Return whether an IP address, and the IPv4 address it may stand for, belongs to the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if not ip.is_global or ip.is_multicast:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return True
    inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in _TRANSLATED:
        inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return all(is_public(str(one)) for one in inner if one is not None)


def _port(place: SplitResult) -> int:
    return place.port or PORTS[place.scheme]


def _shown(place: SplitResult) -> str:
    return printable(place.geturl())


class _Pinned(http.client.HTTPConnection):
    """A connection to addresses that were checked, whatever the host's name resolves to by now."""

    def __init__(self, place: SplitResult, addresses: list[str], until: float) -> None:
        super().__init__(place.hostname or "", _port(place))
        self._addresses, self._until = addresses, until
        self.sock: socket.socket | None = None
        self.late = False

    def connect(self) -> None:
        """Connect to the first address that answers."""
        for place, address in enumerate(self._addresses, start=1):
            left = max(0.001, self._until - time.monotonic())
            try:
                self.sock = socket.create_connection((address, self.port), left)
            except OSError:
                if place == len(self._addresses):
                    raise
            else:
                return

    def abort(self) -> None:
        """End whatever the connection waits for."""
        self.late = True
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


class _PinnedTls(_Pinned):
    """The same over TLS: the certificate must be the host's."""

    default_port = PORTS["https"]

    def connect(self) -> None:
        """Connect, and check the certificate."""
        super().connect()
        assert self.sock is not None
        context = ssl.create_default_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        # Known by now, so that a handshake that never ends can be aborted.
        self.sock.do_handshake()


def _connection(place: SplitResult, addresses: list[str], until: float) -> _Pinned:
    return (_PinnedTls if place.scheme == "https" else _Pinned)(place, addresses, until)

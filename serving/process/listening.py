"""Why an address cannot be listened on: gRPC says that alone, and logs the reason elsewhere."""

import contextlib
import os
import socket
from pathlib import Path

from features.errors import AccessError, NoInputError, ServableError, UnavailableError

_UNIX = "unix:"


def obstacle(address: str) -> OSError | None:
    """Try an address as a server would; give what is in the way, or None.

    Args:
        address: host and port, or ``unix:`` and the path of a socket.
    """
    try:
        if address.startswith(_UNIX):
            _try_socket(Path(address.removeprefix(_UNIX)))
        else:
            host, _, port = address.rpartition(":")
            _try_port(host.strip("[]"), int(port))
    except OSError as error:
        return error
    return None


def _try_port(host: str, port: int) -> None:
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
        probe.bind(place)


def _try_socket(path: Path) -> None:
    # Beside the socket's own place, where an ended server may have left its file.
    aside = path.with_name(f".{os.getpid()}")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.bind(str(aside))
        finally:
            aside.unlink(missing_ok=True)
    if path.is_dir():
        raise IsADirectoryError(21, "Is a directory", str(path))
    if len(os.fsencode(path)) > 107:
        raise OSError(36, "the path is longer than the 107 bytes of a socket's name")


def refusal(address: str, reason: OSError | None, flag: str = "--port") -> ServableError:
    """Make the error that says why nothing listens on an address, and what to do."""
    got = None if reason is None else reason.strerror or str(reason)
    if isinstance(reason, PermissionError):
        kind: type[ServableError] = AccessError
    else:
        kind = NoInputError if isinstance(reason, FileNotFoundError) else UnavailableError
    if address.startswith(_UNIX):
        todo = "choose a writable path with --grpc_socket_path"
    else:
        todo = f"choose another port with {flag}, or stop the program that uses it"
    return kind(f"cannot listen on {address}", got=got, todo=todo)

"""Which host this is, and whether a process on it is alive."""

import socket
from pathlib import Path

import psutil


def host() -> str:
    """Name this host and, where there are several, the process namespace whose pids are meant."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{namespace}"


def is_alive(pid: str, since: str) -> bool:
    """Return whether the process that started a run is still running.

    Args:
        pid: its process id, as text.
        since: when it was created, in seconds since 1970; a younger process with its id is another.
    """
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(since)) < 2
    except (psutil.Error, ValueError):
        return False

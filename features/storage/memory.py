"""How much memory this process may still take."""

import resource
from pathlib import Path

import psutil

#: The group that a container or a service manager puts a process in, where there is one.
_GROUP = Path("/sys/fs/cgroup")


def available() -> int:
    """Return the bytes left: of the machine's memory, the process's control group and its address space."""
    return max(0, min(psutil.virtual_memory().available, _of_group(), _of_address_space()))


def _of_group() -> int:
    most, now = (_number(_GROUP / f"memory.{name}") for name in ("max", "current"))
    return _ENDLESS if most is None or now is None else most - now + _cached()


def _cached() -> int:
    """Return the bytes of files that the group's count includes, and that the kernel gives back."""
    try:
        counts = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return int(counts.get("inactive_file", 0))
    except (OSError, ValueError):
        return 0


def _of_address_space() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return _ENDLESS if soft == resource.RLIM_INFINITY else soft - psutil.Process().memory_info().vms


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None


_ENDLESS = 1 << 62

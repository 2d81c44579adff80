"""Turn an exception that nobody foresaw into one line and an exit code; the traceback goes to a file.

What the operating system, a service or the memory refuses is no fault of ours, and is said as what it is.
"""

import datetime
import errno
import os
import traceback
from dataclasses import dataclass

from features.errors import ServableError
from flows.workspace import Workspace


@dataclass(frozen=True)
class Cause:
    """What lies behind exceptions that are not ours.

    Attributes:
        exit_code: as in BSD sysexits.
        text: what happened.
        todo: what the user can do.
    """

    exit_code: int
    text: str
    todo: str


_DISK = Cause(74, "the disk is full", "free some space and run the command again: finished steps are kept")
_MEMORY = Cause(74, "out of memory", "use smaller settings, such as training.batch_size")
_PERMISSION = Cause(77, "permission denied", "check the permissions, or use another --workspace")
_FILES = Cause(74, "cannot access a file or folder", "check the path and the workspace")
_AWAY = Cause(
    69, "cannot reach a service", "check its address and that it is running, then run the command again"
)
_DATABASE = Cause(
    74,
    "cannot use a database",
    "check its disk and that no other process has locked it, then run the command again",
)
_LOCKED = Cause(
    75,
    "a database is locked by other processes",
    "run the command again; for many trainings at once use PostgreSQL, as docs/scaling.md says",
)
_BUSY = Cause(
    75,
    "Prefect's server is busy, as it is when its SQLite database stays locked by other processes",
    _LOCKED.todo,
)

#: Exceptions by package and class; a class stands for its children. The libraries need not be imported.
_CAUSES = {
    "builtins.MemoryError": _MEMORY,
    "tensorflow.ResourceExhaustedError": _MEMORY,
    "builtins.ConnectionError": _AWAY,
    "urllib.URLError": _AWAY,
    "httpx.TransportError": _AWAY,
    "requests.RequestException": _AWAY,
    "prefect.PrefectHTTPStatusError": _AWAY,
    "sqlite3.OperationalError": _DATABASE,
    "sqlalchemy.OperationalError": _DATABASE,
}
_NUMBERS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _DISK),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _PERMISSION),
    errno.ENOMEM: _MEMORY,
}


def cause(error: BaseException) -> Cause | None:
    """Find what lies behind an exception; None for a fault of ours."""
    if (busy := _busy(error)) is not None:
        return busy
    for kind in type(error).__mro__:
        reason = _CAUSES.get(f"{kind.__module__.partition('.')[0]}.{kind.__name__}")
        if reason is not None:
            return reason
    return _NUMBERS.get(error.errno or 0, _FILES) if isinstance(error, OSError) else None


def _busy(error: BaseException) -> Cause | None:
    """Return what says that others keep a database, or a server on it, from answering."""
    kind = f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}"
    if _CAUSES.get(kind) is _DATABASE and "database is locked" in str(error):
        return _LOCKED
    status = getattr(getattr(error, "response", None), "status_code", None)
    return _BUSY if kind == "prefect.PrefectHTTPStatusError" and status == 503 else None


def exit_code(error: Exception) -> int:
    """Return the exit code for an exception.

    Returns:
        69, 74, 75, 77 or 70, as in BSD sysexits.
    """
    reason = cause(error)
    return 70 if reason is None else reason.exit_code


def text(error: Exception) -> str:
    """Describe any error in one line, with what was noted on its way, such as the log of the run."""
    description = str(error) if isinstance(error, ServableError) else sentence(error)
    notes = getattr(error, "__notes__", ())
    return ". ".join([description.rstrip("."), *notes]) if notes else description


def sentence(error: Exception) -> str:
    """Describe the error in one line; of a fault of ours, keep the traceback in the workspace's reports."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    reason = cause(error)
    if reason is not None:
        return f"{reason.text}; got {text}. {reason.todo[0].upper()}{reason.todo[1:]}"
    try:
        report = _write(error)
    except Exception:
        return f"{text}; this is a bug in Servable, and its traceback could not be written"
    return f"{text}; this is a bug in Servable. Please report it with the traceback in {report}"


def _write(error: Exception) -> str:
    folder = Workspace.open().reports
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    report = folder / f"crash-{stamp}-{os.getpid()}.txt"
    report.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    return str(report)

"""Turn an unforeseen exception into one line and an exit code; the traceback goes to a file."""

import datetime
import errno
import os
import traceback

from flows.workspace import Workspace


def exit_code(error: Exception) -> int:
    """Tell a full disk and a missing permission from a fault of our own.

    Returns:
        74, 77 or 70, as in BSD sysexits.
    """
    if isinstance(error, PermissionError):
        return 77
    return 74 if isinstance(error, OSError | MemoryError) else 70


def sentence(error: Exception) -> str:
    """Describe the error in one line and keep its traceback in the workspace's reports."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"the disk is full; got {text}. Free some space and repeat: finished steps are kept"
    try:
        report = _write(error)
    except Exception:
        return f"{text}. The report could not be written"
    return f"{text}; this is unexpected. The traceback is in {report}: please report it"


def _write(error: Exception) -> str:
    folder = Workspace.open().reports
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    report = folder / f"crash-{stamp}-{os.getpid()}.txt"
    report.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    return str(report)

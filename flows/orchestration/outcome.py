"""How a scheduled training ended: the process that trains writes it, the worker that started it reads it."""

import datetime
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import ServableError, UnavailableError
from features.storage.files import write_file
from flows.console import crash

#: Names the file to write to, in the environment of the process that trains.
VARIABLE = "SERVABLE_OUTCOME"

#: Exit codes from the worst on: a fault of ours; what somebody has to mend; what was ended from
#: outside; what may pass when it is repeated.
WORST_FIRST = (70, 78, 77, 74, 73, 65, 66, 2, 137, 143, 130, 69, 75, 0)


@dataclass(frozen=True)
class Outcome:
    """How one training ended.

    Attributes:
        code: its exit code, as ``servable train`` would have had.
        text: in one line.
        due: when it was due.
    """

    code: int
    text: str
    due: datetime.datetime


def scheduled() -> bool:
    """Return whether a worker of ours started this process."""
    return VARIABLE in os.environ


def worst(codes: Iterable[int]) -> int:
    """Choose the worst of several exit codes; 0 where there is none. An unknown code is the worst."""
    rank = {code: place for place, code in enumerate(WORST_FIRST)}
    return min(codes, key=lambda code: rank.get(code, -1), default=0)


def write(code: int, text: str) -> None:
    """Leave word for the worker; does nothing in a process that no worker of ours started."""
    if file := os.environ.get(VARIABLE):
        write_file(Path(file), json.dumps({"code": code, "text": text}))


def write_error(error: BaseException) -> None:
    """Leave word of the error that ends the training."""
    if isinstance(error, ServableError):
        write(error.exit_code, crash.text(error))
    elif isinstance(error, Exception):
        write(crash.exit_code(error), crash.text(error))
    else:
        interrupted = isinstance(error, KeyboardInterrupt)
        write(130 if interrupted else 143, "interrupted" if interrupted else "terminated")


def read(file: Path, status: int) -> tuple[int, str] | None:
    """Read what a process has left, or tell by its exit status how it was killed.

    Args:
        file: where it was to write.
        status: of the process; minus the number of the signal that killed it.

    Returns:
        Exit code and text; None for a process that left nothing and was not killed.
    """
    try:
        left: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return int(left["code"]), str(left["text"])
    except (OSError, ValueError, KeyError, TypeError):
        return (128 - status, f"its process was killed by signal {-status}") if status < 0 else None


def of_state(kind: str, message: str | None) -> tuple[int, str]:
    """Derive how a run ended from Prefect's state, where the run itself recorded nothing.

    Args:
        kind: Prefect's type of state, such as COMPLETED.
        message: of the state.
    """
    if kind == "COMPLETED":
        return 0, "completed"
    if kind in ("CANCELLED", "CANCELLING"):
        return 143, "cancelled"
    text = (message or "no message").strip().splitlines()[0]
    error = UnavailableError("Prefect could not run it", got=text, todo="read the log on its page")
    return error.exit_code, str(error)

"""Examine a foreign model in a fresh process: ``python -m flows.imports REQUEST VERDICT``."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.storage.files import write_file
from flows.imports.examination import Examination
from flows.runs.state import Check
from serving import leaving


def examine(request: dict[str, Any]) -> dict[str, Any]:
    """Run the checks until one fails; return them, the signatures and notes."""
    examination = Examination(request)
    checks: list[Check] = []
    for step in examination.steps():
        checks += _outcome(step)
        if checks and not checks[-1].passed:
            break
    passed = all(check.passed for check in checks)
    return {
        "checks": [asdict(check) for check in checks],
        "signatures": examination.signatures() if passed else [],
        "notes": examination.notes,
    }


def _outcome(step: Callable[[], Iterator[Check]]) -> list[Check]:
    """Run one step to its first failure; an error is one."""
    checks: list[Check] = []
    try:
        for check in step():
            checks.append(check)
            if not check.passed:
                break
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]
        checks.append(Check(step.__name__.strip("_"), False, text, "no error"))
    return checks


if __name__ == "__main__":
    leave = leaving.QuickExit()
    asked, answered = map(Path, sys.argv[1:])
    write_file(answered, json.dumps(examine(json.loads(asked.read_text()))))
    leave(0)

"""Examine a foreign model in a fresh process: ``python -m flows.imports REQUEST VERDICT``."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.storage.files import write_file
from flows.imports.examination import Examination
from flows.runs.state import outcomes
from serving import leaving


def examine(request: dict[str, Any]) -> dict[str, Any]:
    """Run the checks until one fails; return them, the signatures and notes."""
    examination = Examination(request)
    checks = outcomes(examination.steps())
    passed = all(check.passed for check in checks)
    return {
        "checks": [asdict(check) for check in checks],
        "signatures": examination.signatures() if passed else [],
        "notes": examination.notes,
    }


if __name__ == "__main__":
    leave = leaving.QuickExit()
    request_file, verdict_file = map(Path, sys.argv[1:])
    write_file(verdict_file, json.dumps(examine(json.loads(request_file.read_text()))))
    leave(0)

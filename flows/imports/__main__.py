"""Examine foreign models, each in a fresh process: ``python -m flows.imports``."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flows.orchestration import forks
from flows.runs.state import outcomes


def examine(request: dict[str, Any], wait: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """Run the checks until one fails; return them, the signatures and notes."""
    from flows.imports.examination import Examination

    examination = Examination(request)
    checks = outcomes(examination.steps())
    passed = all(check.passed for check in checks)
    return {
        "checks": [asdict(check) for check in checks],
        "signatures": examination.signatures() if passed else [],
        "notes": examination.notes,
    }


if __name__ == "__main__":
    forks.serve(examine, "flows.imports.examination")

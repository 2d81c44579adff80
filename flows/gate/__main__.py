"""Examine candidates, each in a fresh process: ``python -m flows.gate``."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flows.orchestration import forks
from flows.runs.state import outcomes


def examine(request: dict[str, Any], wait: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """Run all checks on a candidate in this process.

    Args:
        request: see flows.gate.gate.
        wait: returns once the answers of the training graph are written.

    Returns:
        ``checks``: a list of Check as dicts; ``latency_ms``; ``serving``: the serving version's
        metric on the same test split, or why there is none.
    """
    from flows.gate.checks import Examination

    examination = Examination(request, wait)
    checks = outcomes(examination.steps())
    examination.close()
    verdict = {"checks": [asdict(check) for check in checks], "latency_ms": examination.latency}
    passed = all(check.passed for check in checks)
    return verdict | {"serving": examination.serving_metric() if passed else None, "at": time.time()}


if __name__ == "__main__":
    forks.serve(examine, "flows.gate.checks")

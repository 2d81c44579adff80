"""Examine a candidate in a fresh process: ``python -m flows.gate``."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.storage.files import write_file
from flows.runs.state import outcomes
from serving import leaving
from serving.engine import allocator


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


def main() -> None:
    """Examine the candidate that the first two lines of the input name.

    A third line, or the end, says that the answers of the training graph are written.
    """
    from flows.gate import checks as gate_checks  # noqa: F401  (imported before the question comes)

    request_file, verdict_file = (Path(sys.stdin.readline().rstrip("\n")) for _ in range(2))
    if request_file.is_file():
        write_file(
            verdict_file, json.dumps(examine(json.loads(request_file.read_text()), sys.stdin.readline))
        )


if __name__ == "__main__":
    leave = leaving.QuickExit()
    allocator.keep_memory()
    allocator.collect_rarely()
    main()
    leave(0)

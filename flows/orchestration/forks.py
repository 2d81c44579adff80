"""Answer requests one after another, each in a process of its own that has all libraries at hand.

What the processes behind `flows.orchestration.examiner` run. A fork takes milliseconds where a fresh
interpreter takes seconds to import TensorFlow, and is as fresh: this process has imported, and done nothing.
"""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from features.storage.files import write_file
from serving.engine import startup
from serving.process import leaving

#: Told a request and how to wait for the next line of the input; returns plain data.
Examine = Callable[[dict[str, Any], Callable[[], object]], dict[str, Any]]

#: Elsewhere what TensorFlow loads does not bear a fork: a process answers one request itself, and ends.
FORKS = sys.platform == "linux"


def serve(examine: Examine, checks: str) -> None:
    """Run a process that answers requests until its input ends: ``python -m`` of a room with checks.

    Args:
        examine: the checks.
        checks: the module with them, imported before a request comes.
    """
    leave = leaving.QuickExit()
    startup.prepare()
    importlib.import_module(checks)
    answer_requests(examine)
    leave(0)


def answer_requests(examine: Examine) -> None:
    """Answer the requests that come in lines of JSON, each with a line: the exit code of its process.

    A request has the names of two files, ``request`` and ``verdict``, of a file for what is printed, ``log``,
    and the ``environment`` and the ``directory`` to work in.
    """
    # Nothing is read ahead: the process that answers a request reads from here as well.
    with open(0, "rb", buffering=0, closefd=False) as lines, open(os.dup(1), "w") as answers:
        while line := lines.readline():
            if not line.strip():  # meant for a process that had ended
                continue
            print(_forked(json.loads(line), examine, lines.readline), file=answers, flush=True)
            if not FORKS:
                return


def _forked(message: dict[str, Any], examine: Examine, wait: Callable[[], object]) -> int:
    if pid := os.fork() if FORKS else 0:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        _answer(message, examine, wait)
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    if FORKS:
        os._exit(code)  # TensorFlow's objects need not be taken apart one by one
    return code


def _answer(message: dict[str, Any], examine: Examine, wait: Callable[[], object]) -> None:
    with open(message["log"], "ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.clear()
    os.environ.update(message["environment"])
    os.chdir(message["directory"])
    verdict = examine(json.loads(Path(message["request"]).read_text()), wait)
    write_file(Path(message["verdict"]), json.dumps(verdict))

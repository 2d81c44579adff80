"""A process that examines a candidate: started early, so that its imports overlap, and kept for the next."""

import atexit
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path

from features.errors import ExportError, InternalError
from flows.orchestration.forks import FORKS

#: The candidate's checks may take as long as loading a large model on a busy machine does.
TIMEOUT_SECONDS = 600

#: Processes that have answered and wait for the next request, by module.
_kept: dict[str, "subprocess.Popen[str]"] = {}
os.register_at_fork(after_in_child=_kept.clear)


class Examiner:
    """Examines one candidate in a fresh process: a fork of one that has imported all it takes.

    Args:
        log: file that takes what the process prints.
        module: what is run with ``python -m``; it calls `flows.orchestration.forks.serve`.
    """

    def __init__(self, log: Path, module: str = "flows.gate") -> None:
        self.log = log
        self._module = module
        self._process: subprocess.Popen[str] | None = None
        self._verdict: Path | None = None

    @property
    def busy(self) -> bool:
        """Whether a request was sent whose verdict nobody has waited for."""
        return self._verdict is not None

    def start(self) -> None:
        """Start the process, if none is at hand; it imports what it needs and waits."""
        if self._process is not None:
            return
        self.log.write_text("")
        if kept := _kept.pop(self._module, None):
            if kept.poll() is None:
                self._process = kept
                return
            _end(kept)
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C reaches the training first; it then ends this one
            )

    def send(self, request: Path, verdict: Path) -> None:
        """Let a fork of the process load the candidate of a request; `proceed` follows once it may be asked.

        Args:
            request: file with the request.
            verdict: file that takes the verdict.
        """
        verdict.unlink(missing_ok=True)
        self.start()
        self._verdict = verdict
        message = {
            "request": str(request.absolute()),
            "verdict": str(verdict.absolute()),
            "log": str(self.log.absolute()),
            "environment": _environment(),
            "directory": str(Path.cwd()),
        }
        self._write(json.dumps(message))

    def proceed(self) -> None:
        """Let the process compare answers: those of the training graph are written."""
        self._write("")

    def _write(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a process that ended is reported by `wait`
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def wait(self) -> None:
        """Return once the verdict on what was sent is written.

        Raises:
            ExportError: the examination took too long.
            InternalError: the process ended without a verdict.
        """
        process, verdict = self._process, self._verdict
        assert process is not None
        assert verdict is not None
        try:
            self.proceed()
            code = _answer(process)
            if code is None:
                raise ExportError(
                    f"the gate took longer than {TIMEOUT_SECONDS} s", todo="look at the candidate"
                )
            self._verdict = None
        finally:
            self.stop()
        if not verdict.is_file():
            raise InternalError(
                "the gate's process ended without a verdict",
                got=f"exit code {code}",
                todo=f"read {self.log}",
            )

    def stop(self) -> None:
        """Keep the process for the next candidate, or end it if it is at work."""
        process, busy = self._process, self.busy
        self._process = self._verdict = None
        if process is None:
            return
        ready = FORKS and not busy and process.poll() is None
        if not ready or _kept.setdefault(self._module, process) is not process:
            _end(process)


def _environment() -> dict[str, str]:
    return os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def _answer(process: "subprocess.Popen[str]") -> int | None:
    """Return the exit code of the fork, or of the process where it ended; None if there is none in time."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(TIMEOUT_SECONDS):
            return None
    line = process.stdout.readline()
    return int(line) if line else process.wait()


def _end(process: "subprocess.Popen[str]") -> None:
    """End a process and its fork."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with contextlib.suppress(BrokenPipeError):
            stream.close()


@atexit.register
def close() -> None:
    """End the processes that are kept; they would end with this one anyway."""
    while _kept:
        _end(_kept.popitem()[1])

"""The gate's process: started early, so that its imports overlap with the export, asked once."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from features.errors import ExportError, InternalError

#: The candidate's checks may take as long as loading a large model on a busy machine does.
TIMEOUT_SECONDS = 600


class Examiner:
    """A fresh Python process that examines one candidate: ``python -m flows.gate``.

    Args:
        log: file that takes what the process prints.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self._process: subprocess.Popen[str] | None = None
        self._verdict: Path | None = None

    @property
    def busy(self) -> bool:
        """Whether a request was sent whose verdict nobody has waited for."""
        return self._verdict is not None

    def start(self) -> None:
        """Start the process, if it is not started yet; it imports what it needs and waits."""
        if self._process is not None:
            return
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.gate"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C reaches the training first; it then ends this one
            )

    def send(self, request: Path, verdict: Path) -> None:
        """Let the process load the candidate of a request; `proceed` follows once it may be asked.

        Args:
            request: file with the request.
            verdict: file that takes the verdict.
        """
        verdict.unlink(missing_ok=True)
        self.start()
        self._verdict = verdict
        self._write(f"{request}\n{verdict}\n")

    def proceed(self) -> None:
        """Let the process compare answers: those of the training graph are written."""
        self._write("\n")

    def _write(self, text: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a process that ended is reported by `wait`
            self._process.stdin.write(text)
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
            process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ExportError(
                f"the gate took longer than {TIMEOUT_SECONDS} s", todo="look at the candidate"
            ) from error
        finally:
            self.stop()
        if not verdict.is_file():
            raise InternalError(
                "the gate's process ended without a verdict",
                got=f"exit code {process.returncode}",
                todo=f"read {self.log}",
            )

    def stop(self) -> None:
        """End the process, if one runs."""
        process, self._process, self._verdict = self._process, None, None
        if process is None:
            return
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdin and not process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()

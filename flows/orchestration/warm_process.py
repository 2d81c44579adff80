"""The gate's process: started early, so that its imports overlap with the export, asked once."""

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

    def ask(self, asked: Path, answered: Path) -> None:
        """Let the process examine a request and write its verdict.

        Args:
            asked: file with the request.
            answered: file that takes the verdict.

        Raises:
            ExportError: the examination took too long.
            InternalError: the process ended without a verdict.
        """
        answered.unlink(missing_ok=True)
        self.start()
        process = self._process
        assert process is not None
        try:
            process.communicate(f"{asked}\n{answered}\n", timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ExportError(
                f"the gate took longer than {TIMEOUT_SECONDS} s", todo="look at the candidate"
            ) from error
        finally:
            self.stop()
        if not answered.is_file():
            raise InternalError(
                "the gate's process ended without a verdict",
                got=f"exit code {process.returncode}",
                todo=f"read {self.log}",
            )

    def stop(self) -> None:
        """End the process, if one runs."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdin and not process.stdin.closed:
            process.stdin.close()

"""Decode in child processes, so that no file can take the run down with it.

Each Decoder is a fresh interpreter (never a copy of this process, which may hold TensorFlow and its
threads). It imports the reader once, then forks the worker that decodes; a worker is replaced after
`RECYCLE` examples, and whenever it dies: of a native crash, of its memory limit, or of the timer that
it sets before each example and that the kernel fires. Examples travel in chunks, answers come back one
line each, so a death is charged to the first example without an answer; the second time, that example
is refused and the rest go on.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from features.errors import InternalError
from features.ingest.verdicts.kinds import Reader
from features.ingest.verdicts.verdict import Verdict, restored

#: Deaths after which an example is refused.
ATTEMPTS = 2

_CHUNK = 128
_GRACE = 5.0
_START = 60.0


@dataclass(frozen=True)
class Job:
    """One example to examine: a file's path, or a table's cell."""

    path: bytes | None = None
    content: bytes | None = None


# -- in the parent --------------------------------------------------------------------------------


class DecoderPool:
    """A few decoder processes that examine examples.

    Args:
        reader: the raw kind's check; a module-level function, which the children import by name.
        rules: plain data handed to it; ``max_file_bytes``, ``memory`` (bytes a worker may take beyond
            its start) and ``timeout`` (seconds an example may take) are read here.
        store: folder for converted content, or None.
        workers: processes at most; they start when there is work for them.
    """

    def __init__(
        self, reader: Reader, rules: Mapping[str, Any], store: bytes | None = None, workers: int = 2
    ) -> None:
        self._arguments = (f"{reader.__module__}:{reader.__qualname__}", dict(rules), store)
        self._workers = workers
        self._decoders: list[Decoder] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        for decoder in self._decoders:
            decoder.close()
        self._decoders.clear()
        self._selector.close()

    def examine(self, jobs: Iterable[Job]) -> Iterator[tuple[int, Verdict]]:
        """Yield (position of the job, verdict) for every job, in the order they are done.

        Raises:
            InternalError: the processes cannot be started, or keep dying without work.
        """
        waiting = iter(enumerate(jobs))
        while True:
            self._feed(waiting)
            busy = [decoder for decoder in self._decoders if decoder.pending]
            if not busy:
                return
            ready = {key.data for key, _ in self._selector.select(timeout=1.0)}
            for decoder in busy:
                yield from decoder.collect(decoder in ready)

    def _feed(self, waiting: Iterator[tuple[int, Job]]) -> None:
        idle = [decoder for decoder in self._decoders if not decoder.pending]
        while idle or len(self._decoders) < self._workers:
            chunk = [job for _, job in zip(range(_CHUNK), waiting, strict=False)]
            if not chunk:
                return
            decoder = idle.pop() if idle else self._start()
            decoder.give(chunk)

    def _start(self) -> "Decoder":
        decoder = Decoder(*self._arguments, self._selector)
        self._decoders.append(decoder)
        return decoder


class Decoder:
    """One decoder process, seen from the parent."""

    def __init__(
        self, reader: str, rules: Mapping[str, Any], store: bytes | None, selector: selectors.BaseSelector
    ) -> None:
        self._command = [sys.executable, "-c", _BOOTSTRAP, json.dumps(sys.path), reader]
        self._command += [json.dumps(rules), os.fsdecode(store or b"")]
        self._timeout = float(rules["timeout"])
        self._selector = selector
        self.pending: deque[tuple[int, Job]] = deque()
        self._deaths = 0
        self._idle_deaths = 0
        self._open()

    def _open(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        # A session of its own: Ctrl-C is the parent's to handle, and the whole family ends with killpg.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None, "asked for a pipe"
        assert self._process.stdout is not None, "asked for a pipe"
        self._input, self._output = self._process.stdin, self._process.stdout
        self._rest = b""
        self._deadline = time.monotonic() + _START
        self._selector.register(self._output, selectors.EVENT_READ, self)

    def give(self, chunk: Iterable[tuple[int, Job]]) -> None:
        """Send a chunk of jobs; `pending` holds them until they are answered."""
        self.pending.extend(chunk)
        self._send()

    def _send(self) -> None:
        self._deadline = max(self._deadline, time.monotonic() + self._timeout + _GRACE)
        line = json.dumps([_pack(job) for _, job in self.pending]).encode("ascii") + b"\n"
        # A process that is gone shows as an end of its output, where it is dealt with.
        with contextlib.suppress(BrokenPipeError):
            view = memoryview(line)
            while view:
                view = view[self._input.write(view) :]

    def collect(self, ready: bool) -> Iterator[tuple[int, Verdict]]:
        """Yield the answers that have come; deal with deaths and silence."""
        if not ready:
            if time.monotonic() > self._deadline:
                yield from self._replace(f"no answer for {self._timeout + _GRACE:.0f} s", "decode_timeout")
            return
        received = os.read(self._output.fileno(), 1 << 16)
        if not received:
            yield from self._replace("the decoder process ended", "crashed_decoder")
            return
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            yield from self._take(json.loads(line))

    def _take(self, answer: dict[str, Any]) -> Iterator[tuple[int, Verdict]]:
        if "died" in answer:
            yield from self._bury(*_cause(answer["died"], self._timeout))
            return
        self._deadline = time.monotonic() + self._timeout + _GRACE
        self._deaths = self._idle_deaths = 0
        position, _ = self.pending.popleft()
        yield position, restored(answer)

    def _bury(self, detail: str, reason: str) -> Iterator[tuple[int, Verdict]]:
        if not self.pending:
            self._idle_deaths += 1
            if self._idle_deaths > ATTEMPTS:
                raise InternalError("the decoder processes keep crashing", got=self._last_words())
            return
        self._deaths += 1
        if self._deaths >= ATTEMPTS:
            self._deaths = 0
            position, _ = self.pending.popleft()
            yield position, Verdict(reason=reason, detail=f"{detail}, {ATTEMPTS} times")
        if self.pending:
            self._send()

    def _replace(self, detail: str, reason: str) -> Iterator[tuple[int, Verdict]]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if reason == "decode_timeout" else _GRACE)
        if self._process.returncode == 1:
            raise InternalError("a decoder process failed", got=self._last_words())
        self.close()
        self._open()
        yield from self._bury(detail, reason)

    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-600:].decode("utf-8", "replace") or "no message"

    def close(self) -> None:
        """End the process and its worker."""
        self._selector.unregister(self._output)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._input.close()
        self._output.close()
        self._errors.close()


def _pack(job: Job) -> list[str | None]:
    return [
        None if part is None else part.decode("utf-8", "surrogateescape") for part in (job.path, job.content)
    ]


def _cause(status: int, timeout: float) -> tuple[str, str]:
    if not os.WIFSIGNALED(status):
        return f"the decoder ended with exit code {os.waitstatus_to_exitcode(status)}", "crashed_decoder"
    number = os.WTERMSIG(status)
    if number == signal.SIGALRM:
        return f"decoding took longer than {timeout:g} s", "decode_timeout"
    return f"the decoder was killed by {signal.Signals(number).name}", "crashed_decoder"


# -- in the child ---------------------------------------------------------------------------------

_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from features.ingest.verdicts.decoder_process import serve; serve(*sys.argv[2:])"
)

"""The decoder process: examine one example after the other, under limits, and answer on a pipe."""

import importlib
import json
import os
import resource
import signal
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from features.ingest.verdicts.kinds import Reader
from features.ingest.verdicts.verdict import Verdict, examine, plain_of

#: Examples after which a worker is replaced, so that what a decoder leaks stays small.
RECYCLE = 500


_SPENT = 3


_ANSWER = 4096  # PIPE_BUF: a write up to this size arrives whole or not at all.


def serve(reader: str, rules: str, store: str) -> None:
    """Fork one worker after the other until the parent closes our input; report each that dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    answers = os.dup(1)
    os.dup2(2, 1)  # A library that prints must not speak into the answers.
    module, _, name = reader.partition(":")
    check = getattr(importlib.import_module(module), name)
    settings = json.loads(rules)
    while True:
        child = os.fork()
        if child == 0:
            _run(lambda: _work(check, settings, os.fsencode(store) or None, answers))
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return
        if not (os.WIFEXITED(status) and os.WEXITSTATUS(status) == _SPENT):
            os.write(answers, json.dumps({"died": status}).encode("ascii") + b"\n")


def _run(work: Callable[[], int]) -> None:
    code = 1
    try:
        code = work()
    except (BrokenPipeError, KeyboardInterrupt):
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _work(reader: Reader, rules: Mapping[str, Any], store: bytes | None, answers: int) -> int:
    """Examine chunks until the input ends (0) or this worker is spent."""
    _limit_memory(rules["memory"])
    examined = 0
    while line := _read_line():
        for path, content in json.loads(line):
            signal.setitimer(signal.ITIMER_REAL, rules["timeout"])
            verdict = _guarded(_bytes(path), _bytes(content), reader, rules, store)
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.write(answers, _answer(verdict))
            examined += 1
        if examined >= RECYCLE:
            return _SPENT
    return 0


def _guarded(
    path: bytes | None, content: bytes | None, reader: Reader, rules: Mapping[str, Any], store: bytes | None
) -> Verdict:
    try:
        return examine(path, content, reader, rules, store)
    except Exception:
        # No known refusal: ours to fix, and still charged to the example that showed it.
        return Verdict(reason="internal_error", detail=traceback.format_exc()[-1200:])


def _answer(verdict: Verdict) -> bytes:
    plain = plain_of(verdict)
    line = json.dumps(plain).encode("ascii") + b"\n"
    if len(line) > _ANSWER:
        line = json.dumps(plain | {"detail": plain["detail"][:200]}).encode("ascii") + b"\n"
    return line


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _read_line() -> bytes:
    """Read one line from the input and not a byte more: the next one may be another worker's."""
    parts = []
    while part := os.read(0, 1 << 16):
        parts.append(part)
        if part.endswith(b"\n"):
            break
    return b"".join(parts)


def _limit_memory(extra: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", encoding="ascii") as counts:
            size = int(counts.read().split()[0]) * resource.getpagesize()
    except OSError:
        return  # No /proc, no such limit either (macOS).
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = size + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))

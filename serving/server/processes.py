"""Several processes of one server on the same ports: the kernel gives each new connection to one of them."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from features.errors import ServableError
from serving.config import Options
from serving.process import listening, logs
from serving.server import running

_log = logging.getLogger(__name__)

#: The exit code where a process says nothing before it ends: a bug, as of `servable`.
_SILENT = 70


@dataclass(eq=False)
class _Worker:
    """One process of the server.

    Attributes:
        number: its place among the others.
        process: the process.
        channel: brings one word of it: that it is up, or why not. The process ends when this side is closed.
        is_up: whether it answers.
    """

    number: int
    process: SpawnProcess
    channel: Connection
    is_up: bool = False


#: What a process does, with its options, the format of its log and its end of the channel.
Work = Callable[[Options, str, Connection], None]


def serve(options: Options, log_format: str, announce: running.Announce) -> int:
    """Serve with as many processes as the options say until SIGTERM or SIGINT, and return the exit code.

    A process that ends though nobody asked it to is replaced. One that cannot start ends all.

    Args:
        options: of the server.
        log_format: of logs.FORMATS.
        announce: told when every process is up.

    Raises:
        ConfigError: the options contradict each other.
        UnavailableError: a port is taken.
    """
    options.check()
    with _reserved(options) as fixed, tempfile.TemporaryDirectory() as folder:
        return Group(replace(fixed, metrics_folder=Path(folder)), log_format, announce).run()


class Group:
    """Processes that come and go together.

    Args:
        options: of the server, its ports fixed.
        log_format: of logs.FORMATS.
        announce: told when every process is up.
        work: what each does.
    """

    def __init__(
        self, options: Options, log_format: str, announce: running.Announce, work: Work | None = None
    ) -> None:
        self._options, self._log_format, self._announce = options, log_format, announce
        self._work = work or _work
        self._workers: list[_Worker] = []
        self._stopping = self._announced = False
        self._code = 0

    def run(self) -> int:
        """Run them until all have ended, and return the exit code."""
        before = {number: signal.signal(number, self._on_signal) for number in running.ENDING}
        try:
            for number in range(self._options.processes):
                self._start(number)
            while self._workers:
                self._look()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._code

    def _start(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (replace(self._options, process=number), self._log_format, theirs)
        process = context.Process(target=self._work, args=arguments, name=f"server-{number}")
        process.start()
        theirs.close()
        self._workers.append(_Worker(number, process, ours))
        if self._stopping:  # the signal came meanwhile
            process.terminate()

    def _look(self) -> None:
        """Wait until a process says something or ends."""
        events: dict[Any, tuple[Callable[[_Worker], None], _Worker]] = {}
        for worker in self._workers:
            events[worker.process.sentinel] = (self._ended, worker)
            if not worker.is_up:
                events[worker.channel] = (self._told, worker)
        # What a process says is heard before that it ended.
        ready = set(wait(list(events)))
        for event in sorted(ready, key=lambda event: isinstance(event, int)):
            react, worker = events[event]
            react(worker)

    def _told(self, worker: _Worker) -> None:
        try:
            code, *words = worker.channel.recv()
        except (EOFError, OSError):
            worker.process.join()
            return
        if code:
            self._fail(code, words[0])
            return
        worker.is_up = True
        if not self._announced and all(worker.is_up for worker in self._workers):
            self._announced = True
            self._announce(*words)

    def _ended(self, worker: _Worker) -> None:
        worker.process.join()
        worker.channel.close()
        self._workers.remove(worker)
        if self._stopping:
            return
        if not worker.is_up:
            self._fail(_SILENT, f"process {worker.number} of the server ended before it was up")
            return
        code = worker.process.exitcode
        _log.error("process %d of the server ended with code %s; another one starts", worker.number, code)
        self._start(worker.number)

    def _fail(self, code: int, words: str) -> None:
        if not self._stopping:
            self._code = code
            _complain(words, self._log_format)
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        for worker in self._workers:
            worker.process.terminate()

    def _on_signal(self, number: int, frame: object) -> None:
        if self._stopping:
            for worker in self._workers:
                worker.process.kill()
            os._exit(128 + number)
        self._stop()


def _complain(words: str, log_format: str) -> None:
    if log_format == logs.JSON:
        _log.error("%s", words)
    else:
        print(f"error: {words}", file=sys.stderr)


def _work(options: Options, log_format: str, channel: Connection) -> None:
    """Serve in a process of its own until SIGTERM, or until the other end of the channel is closed."""
    # A terminal sends this to every process; the one that started them passes it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(log_format)
    try:
        running.run(
            options,
            lambda *addresses: channel.send((0, *addresses)),
            signals=[signal.SIGTERM],
            until=lambda: _closed(channel),
        )
    except ServableError as error:
        channel.send((error.exit_code, str(error)))


def _closed(channel: Connection) -> None:
    """Return when the other end of a channel is closed."""
    try:
        channel.recv()
    except (EOFError, OSError):
        return


@contextmanager
def _reserved(options: Options) -> Iterator[Options]:
    """Hold the ports while the body runs, and give the options that name them.

    Raises:
        UnavailableError: a port is taken, also by another server of several processes.
    """
    with ExitStack() as stack:
        port = stack.enter_context(_port(options.host, options.port, "--port"))
        rest = options.rest_port
        if rest is not None:
            rest = stack.enter_context(_port(options.host, rest, "--rest_api_port"))
        yield replace(options, port=port, rest_port=rest)


@contextmanager
def _port(host: str, port: int, flag: str) -> Iterator[int]:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM
        )[0]
        # Without the option below no other listener may be there: two servers would share the requests.
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            place = probe.getsockname()
        # It never listens, so that it gets no connection.
        held = socket.socket(family, kind, protocol)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(place)
    except OSError as error:
        raise listening.refusal(f"{host}:{port}", error, flag) from None
    with held:
        yield held.getsockname()[1]

"""The command line of the model server: tensorflow_model_server's flags."""

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import ServableError
from serving import logs, quiet
from serving.engine import allocator
from serving.server import flags

if TYPE_CHECKING:
    from serving.server.server import Server


def main(argv: Sequence[str], repository: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT and give the exit code.

    Prints ``gRPC HOST:PORT`` on stdout when every model answers or has failed to load, and
    ``REST HOST:PORT`` below it where REST is on. A second signal ends the process at once.

    Args:
        argv: flags, without the program's name.
        repository: root of the repository to serve where no flag names a model.
    """
    parsed = None
    try:
        parsed = flags.parse(argv, repository)
        if parsed.message is not None:
            print(parsed.message, flush=True)
            return 0
        logs.configure(parsed.log_format)
        with _following(parsed):
            return _serve(parsed)
    except ServableError as error:
        if parsed is not None and parsed.log_format == logs.JSON:
            logging.getLogger(__name__).error("%s", error)
        else:
            print(f"error: {error}", file=sys.stderr)
        return error.exit_code


@contextlib.contextmanager
def _following(parsed: flags.Parsed) -> Iterator[None]:
    """Keep the base path as its object store says, where it has one."""
    if parsed.followed is None or parsed.options.model_base_path is None:
        yield
        return
    from serving.repository.mirror import Follower

    follower = Follower(parsed.followed, parsed.options.model_base_path)
    follower.follow()
    follower.start(parsed.options.poll_seconds)
    try:
        yield
    finally:
        follower.stop()


def _require_models(server: "Server") -> None:
    """End a server that has nothing to wait for, as TensorFlow Serving does.

    Raises:
        ServerError: says which model cannot be served, and why.
    """
    try:
        server.require_models()
    except ServableError:
        server.stop(0)
        raise


def _serve(parsed: flags.Parsed) -> int:
    parsed.options.check()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    allocator.keep_memory()
    # Imported late: --help and wrong flags need no TensorFlow.
    with quiet.native_stderr():  # it would be no JSON, and tells nothing
        from serving.server.server import Server

    # What was imported stays: without this each unloaded version has the collector walk through it all,
    # half a second in which no request is answered.
    gc.freeze()
    server = Server(parsed.options)
    stopping = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()
        # A handler runs between two bytecodes of the main thread, which may hold any lock: the
        # draining is done elsewhere.
        threading.Thread(target=server.stop, name="drain", daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    server.start()
    if not stopping.is_set():
        _require_models(server)
    if not stopping.is_set():
        print(f"gRPC {server.target}", flush=True)
        if server.rest_target is not None:
            print(f"REST {server.rest_target}", flush=True)
    while server.wait(timeout=3600):
        pass
    # stop() holds on until all versions are unloaded; a second call waits for the first.
    server.stop()
    return 0

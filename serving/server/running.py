"""A server from its start to its end, in the process that calls."""

import gc
import os
import signal
import threading
from collections.abc import Callable, Sequence

from features.errors import ServableError
from serving.config import Options
from serving.engine import startup
from serving.process import quiet

#: Told the addresses of gRPC and REST, None where it is off, once every model answers or has failed to load.
Announce = Callable[[str, str | None], None]

ENDING = (signal.SIGTERM, signal.SIGINT)


def run(
    options: Options,
    announce: Announce,
    *,
    signals: Sequence[int] = ENDING,
    until: Callable[[], object] | None = None,
) -> int:
    """Serve until a signal comes and return the exit code; a second signal ends the process at once.

    Args:
        options: of the server.
        announce: told when it is up.
        signals: that end it.
        until: returns when the server is to end as well; None for signals alone.

    Raises:
        ServableError: the server cannot start.
    """
    options.check()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    startup.prepare()
    # Imported late: --help and wrong flags need no TensorFlow.
    with quiet.native_stderr():  # it would be no JSON, and tells nothing
        from serving.server.server import Server

    # What was imported stays: without this each unloaded version has the collector walk through it all,
    # half a second in which no request is answered.
    gc.freeze()
    server = Server(options)
    stopping = threading.Event()

    def end() -> None:
        stopping.set()
        server.stop()

    def end_after() -> None:
        assert until is not None
        until()
        end()

    def on_signal(number: int, frame: object) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()
        # A handler runs between two bytecodes of the main thread, which may hold any lock: the
        # draining is done elsewhere.
        threading.Thread(target=end, name="drain", daemon=True).start()

    for number in signals:
        signal.signal(number, on_signal)
    if until is not None:
        threading.Thread(target=end_after, name="until", daemon=True).start()
    server.start()
    if not stopping.is_set():
        _require_models(server.require_models, server.stop)
    if not stopping.is_set():
        announce(server.target, server.rest_target)
    while server.wait(timeout=3600):
        pass
    # stop() holds on until all versions are unloaded; a second call waits for the first.
    server.stop()
    return 0


def _require_models(require: Callable[[], None], stop: Callable[[float], None]) -> None:
    """End a server that has nothing to wait for, as TensorFlow Serving does.

    Raises:
        ServerError: says which model cannot be served, and why.
    """
    try:
        require()
    except ServableError:
        stop(0)
        raise

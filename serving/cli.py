"""The command line of the model server: tensorflow_model_server's flags."""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from features.errors import ServableError
from serving.process import logs
from serving.server import flags, running


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


def _serve(parsed: flags.Parsed) -> int:
    if parsed.options.processes == 1:
        return running.run(parsed.options, _announce)
    from serving.server import processes

    return processes.serve(parsed.options, parsed.log_format, _announce)


def _announce(grpc: str, rest: str | None) -> None:
    print(f"gRPC {grpc}", flush=True)
    if rest is not None:
        print(f"REST {rest}", flush=True)

"""The request logs of a server: one for all models, and those that configurations of models name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from serving.errors import InvalidArgument, of_file
from serving.inference.request_log import RequestLog

#: What follows the prefix of a LoggingConfig.
_SUFFIX = ".tfrecord"


class RequestLogs:
    """Request logs by model, as the configuration in use says.

    Args:
        common: the log of the models that have none of their own; None for none.
        own: turns a file into the one of this process.
    """

    def __init__(
        self, common: RequestLog | None = None, own: Callable[[Path], Path] = lambda path: path
    ) -> None:
        self._common, self._own = common, own
        self._open: dict[Path, RequestLog] = {}
        self._models: dict[str, RequestLog] = {}

    def of(self, model: str) -> RequestLog | None:
        """Return the log of a model, or None."""
        return self._models.get(model, self._common)

    def follow(self, models: Mapping[str, Any]) -> None:
        """Take the LoggingConfigs of models: open the logs that are new and close those no longer named.

        Args:
            models: ModelConfig by name.

        Raises:
            InvalidArgument: a LoggingConfig makes no sense.
            NotFound, PermissionDenied: a file cannot be made.
        """
        named = {name: log for name, entry in models.items() if (log := _described(entry)) is not None}
        shares: dict[Path, float] = {}
        for name, (path, share) in named.items():
            if shares.setdefault(path, share) != share:
                raise InvalidArgument(
                    f"Model {name} shares the request log {path} with another sampling_rate"
                )
        opened = self._opened(shares)
        before, self._open = self._open, opened
        self._models = {name: opened[path] for name, (path, _) in named.items()}
        _close(before, but=opened)

    def _opened(self, shares: Mapping[Path, float]) -> dict[Path, RequestLog]:
        """Return the logs of these files and shares: those that are open, and new ones."""
        opened: dict[Path, RequestLog] = {}
        for path, share in shares.items():
            present = self._open.get(path)
            try:
                # A file in use is renamed first, and so goes on to be written until its log is closed.
                same = present is not None and present.share == share
                opened[path] = present if present and same else RequestLog(self._own(path), share)
            except OSError as error:
                _close(opened, but=self._open)
                raise of_file(error)(f"cannot write the request log {path}: {error.strerror}") from None
        return opened

    def close(self) -> None:
        """Write what waits, and close all."""
        for log in (*self._open.values(), *((self._common,) if self._common else ())):
            log.close()


def _close(logs: Mapping[Path, RequestLog], *, but: Mapping[Path, RequestLog]) -> None:
    for log in logs.values():
        if log not in but.values():
            log.close()


def _described(entry: Any) -> tuple[Path, float] | None:
    """Return the file and the share that a ModelConfig names, or None where it logs nothing."""
    config = entry.logging_config
    prefix, share = config.log_collector_config.filename_prefix, config.sampling_config.sampling_rate
    if not 0 <= share <= 1:
        raise InvalidArgument(f"Model {entry.name} has a sampling_rate of {share:g}, expected 0 to 1")
    if not share:
        return None
    if not Path(prefix).is_absolute():
        raise InvalidArgument(
            f"Model {entry.name} needs an absolute path as filename_prefix of its log_collector_config; "
            f"got {prefix!r}"
        )
    return Path(f"{prefix}{_SUFFIX}"), share

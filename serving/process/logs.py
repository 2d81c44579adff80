"""How log lines are written: as text for people, or one JSON object a line for collectors."""

import json
import logging
import sys
import threading
from datetime import UTC, datetime

#: ``--log_format``: lines for people, or JSON.
TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)


class TextFormatter(logging.Formatter):
    """``2026-11-29T12:00:00.123+00:00 INFO serving.engine.core: text``, times in UTC."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the time of a record in ISO 8601."""
        return _time(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message and, of an error with one, its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line."""
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def configure(kind: str) -> None:
    """Write all logs of this process to stderr; warnings and what ends a thread are logged as well.

    Nothing changes where the process has a logging of its own.

    Args:
        kind: one of FORMATS.
    """
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if kind == JSON else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)
    threading.excepthook = _of_thread


def _of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and ended.exc_type is not SystemExit:
        error = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        name = ended.thread.name if ended.thread else "unknown"
        logging.getLogger(__name__).error("thread %s ended with an error", name, exc_info=error)

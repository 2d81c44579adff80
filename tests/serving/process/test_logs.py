"""The lines of the log: as text for people, as JSON for collectors."""

import datetime
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from serving import cli
from serving.config import Options
from serving.metrics import Metrics
from serving.process import logs
from serving.rest.api import RestApi
from serving.server import flags
from serving.server.server import prometheus_path


def record(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    """Make a record of one second and a half after the epoch."""
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("serving.engine", logging.WARNING, "x.py", 1, message, arguments, info)
    made.created = 1.5
    return made


def test_text_has_time_level_and_logger() -> None:
    line = logs.TextFormatter().format(record("%s is loaded", "pets"))
    assert line == "1970-01-01T00:00:01.500+00:00 WARNING serving.engine: pets is loaded"


def test_json_is_one_object_a_line() -> None:
    line = logs.JsonFormatter().format(record('first\nsecond "%s"', "übung"))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:01.500+00:00",
        "level": "WARNING",
        "logger": "serving.engine",
        "message": 'first\nsecond "übung"',
    }
    assert datetime.datetime.fromisoformat(json.loads(line)["time"]).timestamp() == 1.5


def test_json_has_the_traceback_of_an_error() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        line = logs.JsonFormatter().format(record("failed", error=error))
    assert "\n" not in line
    assert json.loads(line)["traceback"].splitlines()[-1] == "ValueError: broken"


def test_a_process_with_a_logging_of_its_own_keeps_it() -> None:
    before = list(logging.getLogger().handlers), sys.excepthook
    assert before[0], "pytest's"
    logs.configure(logs.JSON)
    assert (list(logging.getLogger().handlers), sys.excepthook) == before


def test_an_error_at_the_start_is_a_line_of_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    where = ("--port=0", "--host=0.0.0.0", f"--model_base_path={tmp_path}")
    assert cli.main([*where, "--log_format=json"]) == 78
    assert capsys.readouterr() == ("", "")
    assert "refusing to listen on the network" in caplog.records[-1].getMessage()
    assert caplog.records[-1].levelname == "ERROR"
    assert cli.main([*where, "--log_format=text"]) == 78
    assert capsys.readouterr().err.startswith("error: refusing to listen on the network")


def test_metrics_are_on_for_servable_serve_on_loopback(tmp_path: Path) -> None:
    usual = "/monitoring/prometheus/metrics"
    off = tmp_path / "off.txt"
    off.write_text("prometheus_config { enable: false }")
    moved = tmp_path / "moved.txt"
    moved.write_text('prometheus_config { enable: true path: "/numbers" }')
    base = f"--model_base_path={tmp_path}"
    for given, repository, path in (
        ([], tmp_path, usual),
        ([base], tmp_path, usual),
        ([base], None, None),  # TensorFlow Serving's own flags, and its defaults
        (["--host=0.0.0.0", "--insecure_listen"], tmp_path, None),
        ([f"--monitoring_config_file={off}"], tmp_path, None),
        ([f"--monitoring_config_file={moved}"], tmp_path, "/numbers"),
    ):
        assert prometheus_path(flags.parse(given, repository).options) == path, given
    assert prometheus_path(Options(model_base_path=tmp_path)) is None


def test_where_metrics_are_off_the_answer_names_the_flag() -> None:
    unasked: Any = None
    for path, words in ((None, "--monitoring_config_file=FILE turns it on"), ("/numbers", "are at /numbers")):
        api = RestApi(unasked, unasked, Metrics(), metrics_path=path)
        reply = api.answer("GET", "/monitoring/prometheus/metrics", b"")
        assert reply.status == 404
        assert words in json.loads(reply.body)["error"]
    assert api.answer("GET", "/numbers", b"").status == 200

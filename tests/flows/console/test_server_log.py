"""Errors in the logs of Prefect's and MLflow's servers, in the formats these write."""

import pytest

from flows.console import server_log

PREFECT = """\
13:22:48.000 | WARNING | prefect.server - a warning that says ERROR in its text
13:22:49.352 | ERROR   | docket.dependencies - schedule_recent_deployments(){}
Traceback (most recent call last):
  File "worker.py", line 1134, in _execute
    result = await execution.function(
             ^^^^^^^^^^^^^^^^^^^^^^^^^
sqlalchemy.exc.InvalidRequestError: Can't evaluate bulk DML statement; please supply a bulk_dml function
"""

CHAINED = """\
2026-11-28 13:00:00.120 | ERROR   | prefect.server - Encountered exception in request:
Traceback (most recent call last):
  File "a.py", line 1, in a
sqlite3.OperationalError: no such table: flow_run

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "b.py", line 2, in b
sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no such table: flow_run
[SQL: SELECT flow_run.id
FROM flow_run
WHERE flow_run.id = ?]
(Background on this error at: https://sqlalche.me/e/20/e3q8)
2026-11-28 13:00:01.000 | INFO    | prefect.server - goes on
"""

GROUP = """\
ERROR:    Exception in ASGI application
  + Exception Group Traceback (most recent call last):
  |   File "x.py", line 1, in x
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "y.py", line 2, in y
    | ValueError: inner
    +------------------------------------
"""

BARE = """\
2026/11/28 13:22:05 INFO:     Application startup complete.
Traceback (most recent call last):
  File "z.py", line 1, in <module>
OSError: [Errno 28] No space left on device
"""


@pytest.mark.parametrize(
    ("text", "time", "words"),
    [
        (PREFECT, "13:22:49", ["docket.dependencies", "InvalidRequestError: Can't evaluate bulk DML"]),
        (
            CHAINED,
            "2026-11-28 13:00:00",
            ["exception in request", "(sqlite3.OperationalError) no such table"],
        ),
        (GROUP, "", ["Exception in ASGI application", "ValueError: inner"]),
        (BARE, "", ["OSError: [Errno 28] No space left on device"]),
        ("2026/11/28 12:00:00 ERROR mlflow.server: cannot do it\n", "2026/11/28 12:00:00", ["cannot do it"]),
        ("[2026-11-28 12:00:00 +0000] [7] [CRITICAL] WORKER TIMEOUT\n", "2026-11-28 12:00:00", ["TIMEOUT"]),
        ("ERROR:    [Errno 98] error while attempting to bind\n", "", ["[Errno 98]"]),
        ("\x1b[31mERROR\x1b[0m:    in colour\r\n", "", ["in colour"]),
        ("2026-11-28 12:00:00,123 - ERROR - written by logging\n", "2026-11-28 12:00:00", ["written by"]),
        (
            "13:00:00.1 | ERROR   | uvicorn.error - Traceback (most recent call last):\n  x\nKeyError: 7\n",
            "13:00:00",
            ["uvicorn.error; KeyError: 7"],
        ),
        ("ERROR:    not finished yet", "", ["not finished yet"]),
    ],
)
def test_the_last_error_of_each_format(tmp_path, text, time, words):
    log = tmp_path / "server.log"
    with server_log.open_log(log, "http://127.0.0.1:1/api") as stream:
        stream.write(text.encode())
    error = server_log.last_error(log)
    assert error is not None
    assert not error.earlier
    assert all(word in error.text for word in words)
    assert "\n" not in error.text
    assert "File" not in error.text
    assert error.time == time if time else error.time.endswith("or later")
    assert str(log) in error.sentence(log)
    assert "since the last start" in error.sentence(log)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "INFO:     all is well\n",
        "2026/11/28 13:21:58 INFO mlflow.store.db.utils: Updating database tables\n",
        "13:22:48.000 | WARNING | prefect - retrying\nTraceback (most recent call last):\n  x\nKeyError: 1\n",
        "    ERROR is indented: the text of something else\n",
        "errors: 0\n",
        "fastapi_app.py:23: StarletteDeprecationWarning: deprecated\n",
        '127.0.0.1:4 - "GET /ERROR HTTP/1.1" 200 OK\n',
    ],
)
def test_what_is_no_error(tmp_path, text):
    log = tmp_path / "server.log"
    log.write_text(text)
    assert server_log.last_error(log) is None


def test_a_log_that_does_not_exist(tmp_path):
    assert server_log.last_error(tmp_path / "none.log") is None
    assert server_log.address(tmp_path / "none.log") is None
    assert server_log.explain(tmp_path / "none.log") == "no error in its log"


def test_errors_of_an_earlier_start_are_told_as_such(tmp_path):
    log = tmp_path / "server.log"
    with server_log.open_log(log, "http://127.0.0.1:1/api") as stream:
        stream.write(PREFECT.encode())
    with server_log.open_log(log, "http://127.0.0.1:2/api") as stream:
        stream.write(b"INFO:     all is well\n")
    error = server_log.last_error(log)
    assert error is not None
    assert error.earlier
    assert "of an earlier start" in error.sentence(log)
    assert server_log.address(log) == "http://127.0.0.1:2/api"
    assert server_log.explain(log) == "no error in its log"


def test_a_log_larger_than_what_is_read(tmp_path):
    log = tmp_path / "server.log"
    with log.open("wb") as stream:
        stream.write(b"ERROR:    too far back\n")
        stream.write(b"INFO:     filler\n" * (server_log.MOST_BYTES // 10))
        stream.write(b"\xff\xfe not UTF-8\nERROR:    the last \xff one\n")
    error = server_log.last_error(log)
    assert error is not None
    assert "the last" in error.text
    assert len(server_log.errors(log)) == 1


def test_secrets_in_a_log_are_masked(tmp_path):
    log = tmp_path / "server.log"
    log.write_text("ERROR:    cannot reach postgresql://me:hunter22@db/mlflow\n")
    assert "hunter22" not in server_log.explain(log)


def test_a_watch_tells_each_kind_of_error_once(tmp_path):
    log = tmp_path / "server.log"
    log.write_text("ERROR:    before the watch\n")
    watch, said = server_log.Watch(log), []
    for number in range(3):
        with log.open("a") as stream:
            stream.write(f"ERROR:    pass took {number} ms\nTraceback (most recent call last):\n")
        watch.tell_fresh(said.append)
        with log.open("a") as stream:
            stream.write("  File\nKeyError: 'x'\n")
        watch.tell_fresh(said.append)
        watch.tell_fresh(said.append)
    assert len(said) == 1
    assert "pass took 0 ms; KeyError: 'x'" in said[0]

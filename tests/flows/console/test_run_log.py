"""The log file of a run: what stands in it, what does not, and what the terminal shows beside it."""

import io
import logging
import re
import warnings
from pathlib import Path

import pytest
from rich.console import Console

from features.errors import DataError
from flows.console import crash, run_log, terminal
from tests.trained import Trained

#: Time in ISO 8601, level, logger.
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (DEBUG|INFO|WARNING|ERROR) [\w.]+: .*")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(terminal, "stderr", lambda: Console(file=text, width=200))
    return text


def texts(path: Path) -> list[str]:
    """Return the lines of a log without their times."""
    return [line.partition(" ")[2] for line in path.read_text().splitlines()]


def test_a_training_logs_stages_epochs_and_notes(trained: Trained) -> None:
    lines = trained.run.log.read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    told = "\n".join(texts(trained.run.log))
    # Reading the data comes before the run has a folder.
    assert told.index("INFO flows.pipeline: ingest ...") < told.index("INFO flows: run ")
    for stage, seconds in trained.summary["seconds"].items():
        assert stage == "total" or f"INFO flows.pipeline: {stage}: {seconds:.1f} s" in told
    epochs = re.findall(r"epoch (\d+): loss [\d.]+.*; validation: loss", told)
    assert list(map(int, epochs)) == list(range(1, 13))
    assert "INFO flows: golden version 1 is published and stable" in told
    assert trained.summary["log"] == str(trained.run.log)


def test_notes_before_the_file_are_kept_and_secrets_masked(
    tmp_path: Path, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TOKEN", "token-of-17-letters")
    path = tmp_path / "run.log"
    with run_log.begun():
        terminal.note("before")
        with run_log.opened(path):
            terminal.note("at https://me:pass@host/ with token-of-17-letters")
            with run_log.opened(tmp_path / "inner.log"):  # such as that of a fold
                logging.getLogger("models.training").info("of both")
        terminal.note("after")
    assert texts(path) == [
        "INFO flows: before",
        "INFO flows: at https://me:***@host/ with ***",
        "INFO models.training: of both",
    ]
    assert texts(tmp_path / "inner.log") == ["INFO models.training: of both"]
    assert "before" in shown.getvalue()


def test_warnings_of_ours_are_shown_and_those_of_libraries_logged(
    tmp_path: Path,
    shown: io.StringIO,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A flow that ran earlier in this process has left Prefect's handler there.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with run_log.begun(), run_log.opened(tmp_path / "run.log"):
        logging.getLogger("models.training.recovery.checkpoint").warning("checkpoint %s is damaged", "a.json")
        logging.getLogger("a_library").warning("deprecated")
        logging.getLogger("a_library").info("chatter")
    assert texts(tmp_path / "run.log") == [
        "WARNING models.training.recovery.checkpoint: checkpoint a.json is damaged",
        "WARNING a_library: deprecated",
    ]
    assert shown.getvalue() == "warning: checkpoint a.json is damaged\n"
    assert capfd.readouterr() == ("", "")
    # Everything is as it was.
    assert logging.getLogger("models").propagate
    assert not logging.getLogger("models").handlers


def test_a_log_that_cannot_be_written_ends_nothing(
    tmp_path: Path, shown: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.log").mkdir()
    with run_log.begun(), run_log.opened(tmp_path / "run.log"), warnings.catch_warnings():
        terminal.note("still here")
    assert shown.getvalue() == "still here\n"
    assert capfd.readouterr().err == ""


def test_an_error_names_the_log_once() -> None:
    error = DataError("no rows", todo="add some")
    assert crash.text(error) == "no rows. Add some"
    error.add_note("The log is /w/run.log")
    assert crash.text(error) == "no rows. Add some. The log is /w/run.log"
    assert str(error) == "no rows. Add some"

"""Progress as a log file and as a terminal show it."""

import io
import os

import pytest
from rich.console import Console

from flows.console import summary, terminal
from flows.console.quiet import native_stderr

METRICS = {"loss": 0.25, "accuracy": 0.5, "validation_loss": 1.0, "learning_rate": 1e-3, "seconds": 2.0}


def test_lines_of_a_log_file_have_the_metrics_of_epochs(
    monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "QUIET_SECONDS", 0.0)
    shown = io.StringIO()
    monkeypatch.setattr(terminal, "stderr", lambda: Console(file=shown))
    with terminal.progress_bars() as progress:
        for step in range(1, 101):
            progress("train: head", step, 100)
            if step % 2 == 0:
                terminal.report_epoch("head", step // 2, METRICS)
    lines = shown.getvalue().splitlines()
    assert "train: head: epoch 5: loss 0.25, accuracy 0.5; validation: loss 1" in lines
    # At most one line of metrics for each line of progress.
    assert sum("epoch" in line for line in lines) <= sum(" of 100" in line for line in lines)


def test_a_terminal_shows_counts_metrics_and_no_unknown_total(monkeypatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(terminal, "stderr", lambda: Console(file=shown, force_terminal=True, width=160))
    with terminal.progress_bars() as progress:
        progress("gate", 0, None)
        progress("train: head", 1_500, 2_000)
        terminal.report_epoch("head", 3, METRICS)
        terminal.report_epoch("a phase without a bar", 3, METRICS)
    text = shown.getvalue()
    assert "1,500/2,000" in text
    assert "epoch 3: loss 0.25" in text
    assert "/?" not in text


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress_bars(quiet=True) as progress:
        progress("train: head", 1, 1)
        terminal.report_epoch("head", 1, METRICS)
    assert capsys.readouterr() == ("", "")


def test_a_resumed_training_says_so_on_its_line(monkeypatch) -> None:
    for terminal_of_its_own in (False, True):
        shown = io.StringIO()
        console = Console(file=shown, force_terminal=terminal_of_its_own, width=160)
        monkeypatch.setattr(terminal, "stderr", lambda console=console: console)
        with terminal.progress_bars() as progress:
            terminal.report_resumed("train: head", 4)
            progress("train: head", 300, 1_000)
            terminal.report_epoch("head", 4, METRICS)
        assert "train: head" in shown.getvalue()
        assert "resumed at epoch 4" in shown.getvalue()
        assert "/?" not in shown.getvalue()


def test_quiet_hides_notes_but_no_warnings(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(terminal, "stderr", lambda: Console(file=shown))
    with terminal.hushed(), terminal.hushed(False):
        terminal.note("a note")
        terminal.warn("a warning")
    terminal.note("another note")
    assert shown.getvalue().splitlines() == ["a warning", "another note"]
    result = {"model": "pets", "version": 2, "unchanged": True, "metric": "test/accuracy"}
    summary.show(result | {"metrics": {"test/accuracy": 0.9375}}, quiet=True)
    assert capsys.readouterr().out == "pets version 2 unchanged: test/accuracy 0.9375\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(20.0, "20"), (20400.0, "20,400"), (0.83893, "0.8389"), (1.0, "1"), (0.000012345, "1.234e-05")],
)
def test_figures_have_at_most_four_digits(value: float, text: str) -> None:
    assert summary.figure(value) == text


@pytest.mark.parametrize(("is_terminal", "quiet"), [(True, False), (True, True), (False, False)])
def test_work_without_output_is_shown_on_a_terminal_alone(
    monkeypatch, capfd: pytest.CaptureFixture[str], is_terminal: bool, quiet: bool
) -> None:
    monkeypatch.setattr(terminal, "stderr", lambda: Console(file=io.StringIO(), force_terminal=is_terminal))
    with terminal.hushed(quiet), terminal.working("load pets"), native_stderr():
        os.write(2, b"chatter of a library")
    shown = capfd.readouterr().err
    assert ("load pets ..." in shown) == (is_terminal and not quiet)
    assert "chatter" not in shown

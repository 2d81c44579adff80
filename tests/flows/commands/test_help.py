"""The help of every command fits a terminal of 80 columns and names values in words."""

import re

import pytest
import typer

from flows import cli

COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
SCHEDULES = COMMANDS["schedule"].commands


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as left:
        cli.main([*words, "-h"])
    assert not left.value.code
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(
    "words", [(name,) for name in sorted(COMMANDS)] + [("schedule", name) for name in sorted(SCHEDULES)]
)
def test_the_help_of_a_command(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    text = help_of(capsys, *words)
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"<\w|\{\w+\}", text.partition("usage: servable serve")[0])
    # Whatever is given has a sentence that says what it is.
    for line in re.findall(r"^  (?:-[\w-]+(?:, --[\w-]+)?|[A-Z]+)(?: \S+)?$", text, re.MULTILINE):
        assert f"{line}\n     " in text, line


def test_each_command_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    for name in COMMANDS:
        (line,) = re.findall(rf"^  {name} +(.*)$", text, re.MULTILINE)
        assert re.fullmatch(r"[A-Z].*[^.]\.", line), line
    assert max(map(len, text.splitlines())) <= 80


def test_arguments_and_values_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, "promote")
    assert re.search(r"promote \[OPTIONS\] NAME VERSION\n", text)
    assert re.search(r"^  VERSION +Published version", text, re.MULTILINE)
    assert re.search(r"^  --to stable\|canary +Label", text, re.MULTILINE)
    assert re.search(r"^  --share N +Percentage", text, re.MULTILINE)

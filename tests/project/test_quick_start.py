"""Each command of the quick start is one that the command line takes, of a task and options that exist."""

import re
import shlex
from typing import Any

import pytest
import typer.main

from flows.cli import app
from models.tasks import TASKS
from tests.conftest import ROOT
from tests.project.place import commands

PAGE = (ROOT / "docs" / "quickstart.md").read_text()


@pytest.mark.parametrize("line", commands("docs/quickstart.md"))
def test_the_command_line_takes_it(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "servable"
    group: Any = typer.main.get_command(app)
    parent = group.context_class(group, info_name=program)
    name, command, rest = group.resolve_command(parent, arguments)
    assert command is not None
    given = command.make_context(name, rest, parent=parent).params
    assert given.get("task") is None or given["task"] in TASKS


def test_each_section_fits_on_a_screen() -> None:
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        assert len(section.splitlines()) <= 30

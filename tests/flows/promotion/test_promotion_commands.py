"""The commands that promote, roll back, list and watch, as somebody types them; and docs/operating.md's."""

import itertools
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from flows import cli
from flows.commands import serve
from serving.repository.labels.labels import CANARY, STABLE
from tests.conftest import ROOT
from tests.flows.promotion.conftest import Place

PAGE = (ROOT / "docs" / "operating.md").read_text()
STORY = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
#: Commands of the story that stay up, or that other tests run for minutes.
ELSEWHERE = {"schedule", "worker", "serve", "compare", "monitor", "demo"}


@pytest.fixture
def servable(place, capsys):
    """Type a command; return its exit code and what it prints to stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([*map(str, arguments), "--workspace", str(place.workspace.root)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


def test_a_canary_is_begun_listed_and_ended(place: Place, servable):
    code, _, told = servable("promote", place.name, 2, "--to", "canary", "--share", 25, "--reason", "try")
    assert (code, "version 2 is the canary and answers 25 % of the requests" in told) == (0, True)
    assert place.labels() == place.aliases() == {STABLE: 1, CANARY: 2}
    _, out, _ = servable("models")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert any(line.startswith(f"{place.name} 1 stable ") for line in lines)
    assert any(line.startswith(f"{place.name} 2 canary (25 %) ") for line in lines)
    code, _, told = servable("watch", place.name, "--once")
    assert code == 0
    assert "requests 0 to 0" in told
    assert "wait: 200 more requests are needed" in told
    code, _, told = servable("rollback", place.name, "--reason", "enough")
    assert (code, "version 1 is stable" in told) == (0, True)
    assert place.labels() == place.aliases() == {STABLE: 1, CANARY: None}


def test_the_history_names_when_who_from_to_why_and_metrics(place: Place, servable):
    servable("promote", place.name, 2, "--reason", "newer")
    place.click(STABLE, 3)
    place.settle()
    servable("promote", place.name, 1, "--to", "canary")
    code, out, _ = servable("history", place.name, "--json")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    moved = [row for row in rows if row["label"]]
    assert [(row["event"], row["label"], row["from"], row["to"], row["why"]) for row in moved] == [
        ("promote", "stable", None, 1, "published"),
        ("promote", "stable", 1, 2, "newer"),
        ("promote", "stable", 2, 3, "alias champion was moved in MLflow"),
        ("promote", "canary", None, 1, "promoted by hand"),
    ]
    assert [row["who"] == "MLflow" for row in moved] == [False, False, True, False]
    assert "@" in moved[0]["who"]
    assert [(row["metric"], row["value"]) for row in moved] == [
        ("accuracy", value) for value in (0.1, 0.2, 0.3, 0.1)
    ]
    assert (moved[-1]["share"], moved[-1]["metrics"]) == (10.0, {"accuracy": 0.1})
    assert all(earlier["when"] <= later["when"] for earlier, later in itertools.pairwise(rows))
    _, out, _ = servable("history", place.name)
    assert "promote canary (10 %)" in out
    assert "accuracy 0.3000" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("promote", "NAME", 9), 66, "no version 9"),
        (("promote", "NAME", 9, "--to", "canary"), 66, "no version 9"),
        (("promote", "NAME", 2, "--share", 25), 2, "Add --to canary"),
        (("promote", "NAME", 2, "--to", "canary", "--share", 101), 2, "not a percentage"),
        (("promote", "NAME", 1, "--to", "canary"), 2, "is the stable one"),
        (("rollback", "NAME"), 66, "no earlier stable version"),
        (("history", "nosuch"), 66, "no model nosuch"),
        (("watch", "../x"), 2, "invalid model name"),
    ],
)
def test_what_cannot_be_done_is_said(place: Place, servable, arguments, code, words):
    before = place.history()
    given, _, told = servable(*(place.name if word == "NAME" else word for word in arguments))
    assert (given, words in told) == (code, True), told
    assert place.history() == before


def test_sync_lets_the_aliases_agree(place: Place, servable):
    place.repository.promote(place.name, 2, "by something else")
    assert servable("sync")[0] == 0
    assert place.labels() == place.aliases() == {STABLE: 2, CANARY: None}


def test_the_story_of_the_documentation(place: Place, servable):
    """Its commands in their order; those that stay up are known commands at least."""
    assert len(STORY) > 8
    known = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    known |= {group.name for group in cli.app.registered_groups}
    for line in STORY:
        program, command, *arguments = shlex.split(line)
        assert (program, command in known) == ("servable", True), line
        if command not in ELSEWHERE:
            code, _, told = servable(command, *(place.name if a == "pets" else a for a in arguments))
            assert code == 0, (line, told)
    events = [(e["event"], e["label"], e["version"]) for e in place.history() if e.get("label")][-3:]
    assert events == [("promote", "canary", 2), ("promote", "stable", 2), ("rollback", "stable", 1)]
    assert place.labels() == place.aliases() == {STABLE: 1, CANARY: None}


@pytest.mark.parametrize(
    ("arguments", "watched"),
    [
        ([], True),
        (["--port=0"], True),
        (["--no-watch", "--port=0"], False),
        (["--model_base_path=/models/m"], False),
        (["-model_config_file", "x"], False),
        (["--help"], False),
    ],
)
def test_a_server_of_the_repository_is_watched(arguments, watched):
    rest = [word for word in arguments if word != "--no-watch"]
    assert (serve._take_watch(arguments), arguments) == (watched, rest)


def test_the_watch_of_a_server_ends_with_it(tmp_path: Path):
    from flows.workspace import Workspace

    with serve._watching(Workspace.open(tmp_path)) as process:
        assert process.poll() is None
        process.stdin.close()  # as when the server is killed
        assert process.wait(60) == 0
    shutil.rmtree(tmp_path)

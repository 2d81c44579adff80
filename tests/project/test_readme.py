"""Every command and every program in README runs, in a folder with photos of the reader's own."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests import golden
from tests.conftest import ROOT
from tests.project.place import Place, blocks, commands, settled

README = (ROOT / "README.md").read_text()
COMMANDS = commands("README.md")
PROGRAMS = blocks("README.md", "python")
#: Commands that stay up.
SERVICES = (".venv/bin/servable serve", ".venv/bin/servable ui")
TARGETS = [command for command in COMMANDS if command.startswith("make ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = settled(tmp_path_factory.mktemp("readme"))
    folder = made.folder
    photos = golden.images(folder / "photos")
    golden.photo(folder / "cat.jpg")
    shutil.copy(next((photos / "upright").glob("*.jpeg")), folder / "dog.jpg")
    rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted(photos.glob("*/*"))]
    (folder / "photos.csv").write_text("\n".join(["file,animal", *rows]) + "\n")
    try:
        # Prefect's server is up from the start: the trainings report to it, as they do for a reader
        # who looks at the UI first.
        made.lines = {command: made.start(command) for command in COMMANDS if command.endswith(" ui")}
        yield made
    finally:
        made.stop()


def test_readme_has_what_it_must_have() -> None:
    assert COMMANDS[:2] == ["make demo", "make test"]
    assert len(PROGRAMS) == 1
    for heading in ("Train on your own data", "Serve and query", "The rooms", "Add a task in four steps"):
        assert f"## {heading}" in README


@pytest.mark.parametrize("command", TARGETS)
def test_make_knows_the_target(command: str) -> None:
    """What the targets run is run by CI and by the proofs; here they are only looked up."""
    done = subprocess.run(
        [*command.split(), "-n"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    last = {
        "demo": "servable demo",
        "test": "pytest",
        "check": "lint-imports",
        "proofs": "-m proof",
        "walk": "tests/walks",
        "bench": "tests.benchmarks",
        "clean": "rm -rf",
    }
    assert last[command.split()[1]] in done.stdout


def test_links_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if "://" not in link:
                assert (document.parent / link).exists(), f"{document.name}: {link}"


@pytest.mark.proof
def test_every_other_command_runs_in_the_order_of_the_page(place: Place) -> None:
    done = 0
    for command in COMMANDS:
        if command in TARGETS or command.endswith(" ui"):
            continue
        if command in SERVICES:
            lines = place.start(command)
            assert lines == [
                f"gRPC 127.0.0.1:{place.ports['8500']}\n",
                f"REST 127.0.0.1:{place.ports['8501']}\n",
            ]
            continue
        ended = place.run(command)
        # A port that another program of this machine has is a finding of the doctor.
        allowed = (0, 78) if command.endswith("doctor") else (0,)
        assert ended.returncode in allowed, f"{command}\n{ended.stdout}\n{ended.stderr}"
        assert "Traceback" not in ended.stderr
        table = place.folder / "answers.csv"
        _check(command, table.read_text() if "--csv" in command else ended.stdout)
        if "--curl" in command:
            assert '"label"' in place.run(ended.stdout).stdout
        done += 1
    assert done >= 12


def _check(command: str, printed: str) -> None:
    label = re.compile(r"level|upright")
    if "--curl" in command:
        assert re.search(r"curl -d \S+ http://", printed)
    elif "predict" in command:
        assert label.search(printed), command
    if "grpcurl" in command or command.endswith("/pets"):
        assert '"AVAILABLE"' in printed
    if command.endswith(" models"):
        assert re.search(r"pets +1 +stable", printed)


@pytest.mark.proof
def test_the_program_prints_a_label_and_a_score(place: Place) -> None:
    (program,) = PROGRAMS
    done = subprocess.run(
        [sys.executable, "-c", place.text(program)],
        cwd=place.folder,
        env=place.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"(level|upright) [01]\.\d+\n", done.stdout)


@pytest.mark.proof
def test_the_interfaces_answer(place: Place) -> None:
    ((_, lines),) = place.lines.items()
    assert lines == [
        f"MLflow   http://127.0.0.1:{place.ports['5000']}\n",
        f"Prefect  http://127.0.0.1:{place.ports['4200']}\n",
    ]
    for line in lines:
        address = line.split()[1]
        ended = place.run(f"curl -sf -o page.html -w '%{{http_code}}' {address}/")
        assert ended.stdout == "200", address
        assert "<html" in (place.folder / "page.html").read_text().lower()

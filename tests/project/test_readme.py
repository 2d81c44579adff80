"""Every command and every program in README runs, in a folder with photos of the reader's own."""

import hashlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models.pretrained.applications import DEFAULT_MODULE
from tests import golden, mlflow_store
from tests.conftest import ROOT
from tests.models import toys

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.partition("  # ")[0].strip()
    for language, text in BLOCKS
    if language == "sh"
    for line in text.splitlines()
]
PROGRAMS = [text for language, text in BLOCKS if language == "python"]
#: Commands that stay up, and how many lines they print once they are ready.
SERVICES = {".venv/bin/servable serve": 2, ".venv/bin/servable ui": 2}
TARGETS = [command for command in COMMANDS if command.startswith("make ")]


def free_ports(count: int) -> list[int]:
    """Find TCP ports that are free now, all different."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@dataclass
class Place:
    """A folder in which README's commands are typed.

    Attributes:
        folder: the current folder.
        ports: what README's ports are replaced by, so that a server on this machine is not in the way.
    """

    folder: Path
    ports: dict[str, str]
    services: list[subprocess.Popen] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=dict)

    def text(self, written: str) -> str:
        """Replace README's ports."""
        return re.sub(r"\b(8500|8501|5000|4200)\b", lambda found: self.ports[found[1]], written)

    def environment(self) -> dict[str, str]:
        """Return a plain environment: what the user has configured for other servers is left out."""
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("MLFLOW", "PREFECT", "SERVABLE", "PYTEST", "TFHUB"))
        }
        kept["SERVABLE_SERVER"] = f"127.0.0.1:{self.ports['8500']}"
        kept["SERVABLE_PREFECT_IDLE_SECONDS"] = "30"
        kept["PATH"] = f"{kept['PATH']}:{self.folder / 'bin'}"
        return kept

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Type a command and wait for its end."""
        return subprocess.run(
            ["bash", "-c", self.text(command)],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def start(self, command: str) -> list[str]:
        """Type a command that stays up; give the lines it prints when it is ready."""
        ports = {
            ".venv/bin/servable serve": ("--port=8500", "--rest_api_port=8501"),
            ".venv/bin/servable ui": ("--mlflow-port=5000", "--prefect-port=4200"),
        }[command]
        process = subprocess.Popen(
            [*shlex.split(command), *map(self.text, ports)],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.services.append(process)
        assert process.stdout is not None
        return [process.stdout.readline() for _ in range(SERVICES[command])]

    def stop(self) -> None:
        """End what stays up, the newest first."""
        for process in reversed(self.services):
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            if process.stdout:
                process.stdout.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("readme")
    (folder / ".venv").symlink_to(sys.prefix)
    # Where grpcurl is installed it is found first.
    (folder / "bin").mkdir()
    stand_in = folder / "bin" / "grpcurl"
    stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/project/grpcurl.py" "$@"\n')
    stand_in.chmod(0o755)
    mlflow_store.database(folder / "mlruns")
    photos = golden.images(folder / "photos")
    golden.photo(folder / "cat.jpg")
    shutil.copy(next((photos / "upright").glob("*.jpeg")), folder / "dog.jpg")
    rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted(photos.glob("*/*"))]
    (folder / "photos.csv").write_text("\n".join(["file,animal", *rows]) + "\n")
    # The default module, as if it had been fetched: the network is off limits here.
    held = (
        folder
        / "workspace"
        / "hub"
        / hashlib.sha1(DEFAULT_MODULE.encode(), usedforsecurity=False).hexdigest()
    )
    toys.save_module(held)
    names = ("8500", "8501", "5000", "4200")
    made = Place(folder, dict(zip(names, map(str, free_ports(len(names))), strict=True)))
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
    """What the targets run is run by CI and by test_demo; here they are only looked up."""
    done = subprocess.run(
        [*command.split(), "-n"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    last = {
        "demo": "servable demo",
        "test": "pytest",
        "check": "lint-imports",
        "bench": "tests.benchmarks",
        "clean": "rm -rf",
    }
    assert last[command.split()[1]] in done.stdout


def test_links_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if "://" not in link:
                assert (document.parent / link).exists(), f"{document.name}: {link}"


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

"""Commands of the documents, typed as a reader types them: in a folder of the reader's own, on free ports."""

import hashlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from models.pretrained.applications import DEFAULT_MODULE
from tests import mlflow_store
from tests.conftest import ROOT
from tests.models import toys

#: Ports that the documents name.
PORTS = ("8500", "8501", "5000", "4200")
#: Of a command that stays up the flags with its ports; it prints as many lines once it is ready.
SERVICES = {
    "serve": ("--port=8500", "--rest_api_port=8501"),
    "ui": ("--mlflow-port=5000", "--prefect-port=4200"),
}


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of a document in a language, such as sh."""
    text = (ROOT / document).read_text()
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return found


def commands(document: str) -> list[str]:
    """Return the commands of a document's sh blocks, one a line."""
    return [
        line.partition("  # ")[0].strip() for block in blocks(document, "sh") for line in block.splitlines()
    ]


def free_ports(count: int) -> list[int]:
    """Find TCP ports that are free now, all different."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@dataclass
class Place:
    """A folder in which commands are typed.

    Attributes:
        folder: the current folder.
        ports: what the ports of the documents are replaced by: a server on this machine is not in the way.
    """

    folder: Path
    ports: dict[str, str]
    services: list[subprocess.Popen] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=dict)

    def text(self, written: str) -> str:
        """Replace the ports of the documents."""
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
        # grpcurl of the machine goes before its stand-in, and our own program before any other.
        own = Path(sys.prefix) / "bin"
        kept["PATH"] = f"{own}:{kept['PATH']}:{self.folder / 'bin'}"
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
        ports = SERVICES[shlex.split(command)[1]]
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
        return [process.stdout.readline() for _ in range(len(ports))]

    def stop(self) -> None:
        """End what stays up, the newest first."""
        for process in reversed(self.services):
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            if process.stdout:
                process.stdout.close()


def settled(folder: Path) -> Place:
    """Make a place with the environment, an empty MLflow store, and the default module as if downloaded."""
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "bin").mkdir()
    stand_in = folder / "bin" / "grpcurl"
    stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/project/grpcurl.py" "$@"\n')
    stand_in.chmod(0o755)
    mlflow_store.database(folder / "mlruns")
    name = hashlib.sha1(DEFAULT_MODULE.encode(), usedforsecurity=False).hexdigest()
    toys.save_module(folder / "workspace" / "hub" / name)
    return Place(folder, dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True)))

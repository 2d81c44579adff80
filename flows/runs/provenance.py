"""Where a run comes from: command line, commit, lock file and versions; imports nothing heavy."""

import functools
import getpass
import hashlib
import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
from pathlib import Path

from features.storage.trees import sha256
from flows.console.redaction import mask
from flows.runs.state import Origin

#: Libraries whose version can change a result.
LIBRARIES = (
    "servable",
    "tensorflow",
    "keras",
    "tensorflow-hub",
    "numpy",
    "pandas",
    "pillow",
    "mlflow",
    "prefect",
)


#: Folders whose code decides weights and scores.
DECISIVE = ("features", "models", "flows/steps", "flows/courses")


def origin() -> Origin:
    """Describe what a training in this process comes from."""
    return Origin(command=mask(command_line()), commit=git_commit(), lock=lock_digest(), versions=versions())


def command_line() -> str:
    """Return the command this process was started with; empty where it is not ours."""
    return shlex.join(["servable", *sys.argv[1:]]) if Path(sys.argv[0]).name == "servable" else ""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that can change a result."""
    installed = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


@functools.cache
def fingerprint_of_code() -> str:
    """Hash what decides weights and scores beside recipe and data: our own sources, and the libraries."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for folder in DECISIVE:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def user() -> str:
    """Return the name of the user who runs this process; empty where the system knows none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def lock_digest() -> str | None:
    """Return the sha256 of the lock file of the checkout the code is in; None outside one."""
    path = Path(__file__).resolve().parents[2] / "uv.lock"
    return sha256(path) if path.is_file() else None


@functools.cache
def git_commit() -> str:
    """Return the commit the code is at, with ``-dirty`` where files differ; empty outside a checkout."""
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def git_branch() -> str:
    """Return the branch that is checked out; empty outside a checkout, ``HEAD`` for a commit alone."""
    return _git("rev-parse", "--abbrev-ref", "HEAD")


def git_repository() -> str:
    """Return the address of the remote ``origin``; empty where there is none."""
    return _git("config", "--get", "remote.origin.url")


def _git(*arguments: str) -> str:
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()

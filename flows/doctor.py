"""Check the installation part by part, with a fix for each problem."""

import importlib
import importlib.metadata
import re
import shutil
import site
import socket
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from features.errors import ConfigError
from flows import interfaces
from flows.console import quiet, server_log
from flows.console.redaction import mask
from flows.orchestration import addresses, prefect_api, probing
from flows.tracking import tracking
from flows.tracking.spool import rejects
from flows.workspace import Workspace

LOCK = Path(__file__).resolve().parent.parent / "uv.lock"
PORTS = {8500: "the model server (gRPC)", 8501: "the model server (REST)", 5000: "MLflow", 4200: "Prefect"}
#: Parts that are imported and started rather than only looked up: a version that installs may still not run.
PARTS = ("tensorflow", "keras", "tensorflow_hub", "mlflow", "prefect", "grpc", "PIL", "pyarrow")


class Finding(NamedTuple):
    """One line of the result; mark is ok, note or FAIL."""

    mark: str
    part: str
    text: str

    @property
    def ok(self) -> bool:
        """Whether Servable works without fixing this."""
        return self.mark != "FAIL"


def examine(workspace: Workspace) -> list[Finding]:
    """Run all checks."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _locked_versions,
        _imports,
        _prefect_server,
        lambda: _addresses(workspace),
        lambda: _server_logs(workspace),
        lambda: _spool(workspace),
        _ports,
        lambda: _hub(workspace),
        lambda: _disk(workspace),
        _startup_code,
    ]
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield Finding("ok", "python", version)
    else:
        yield Finding(
            "FAIL", "python", f"{version}; 3.11, 3.12 or 3.13 is needed: make clean install PYTHON=python3.11"
        )


def _locked_versions() -> Iterator[Finding]:
    if not LOCK.is_file():
        yield Finding("note", "versions", "no uv.lock beside the installation: versions not compared")
        return
    locked: dict[str, set[str]] = {}
    for package in tomllib.loads(LOCK.read_text())["package"]:
        locked.setdefault(package["name"], set()).add(package.get("version", ""))
    installed = {
        d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()
    }
    differing = [f"{n} {v}" for n, v in sorted(installed.items()) if n in locked and v not in locked[n]]
    if differing:
        yield Finding("FAIL", "versions", f"different from uv.lock: {', '.join(differing[:8])}: make install")
    else:
        yield Finding("ok", "versions", f"{len(installed.keys() & locked.keys())} packages as in uv.lock")


def _imports() -> Iterator[Finding]:
    for part in PARTS:
        try:
            # What they announce and deprecate is no finding.
            with quiet.native_stderr(), warnings.catch_warnings(action="ignore"):
                module = importlib.import_module(part)
        except Exception as error:
            yield Finding(
                "FAIL", part, f"cannot be imported: {type(error).__name__}: {error}. make clean install"
            )
        else:
            yield Finding("ok", part, str(getattr(module, "__version__", "imported")))


def _prefect_server() -> Iterator[Finding]:
    program = "from prefect.server.api.server import create_app; create_app()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode == 0:
        yield Finding("ok", "prefect server", "its application can be created")
    else:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding("FAIL", "prefect server", f"cannot start: {last}. make clean install")


def _addresses(workspace: Workspace) -> Iterator[Finding]:
    """Check MLFLOW_TRACKING_URI and PREFECT_API_URL, and what answers there."""
    try:
        yield _tracking(tracking.tracking_uri(workspace))
    except ConfigError as error:
        yield Finding("FAIL", "tracking", str(error))
    try:
        api = prefect_api.configured_api()
        yield (
            _prefect(api)
            if api
            else Finding("ok", "prefect api", "none configured: every training starts its own")
        )
    except ConfigError as error:
        yield Finding("FAIL", "prefect api", str(error))


def _tracking(uri: str) -> Finding:
    if not addresses.is_server(uri):
        return Finding("ok", "tracking", mask(uri))
    response = probing.get(uri, "/version")
    if response.status is None:
        todo = "trainings go on and keep their events; start it, or correct or unset MLFLOW_TRACKING_URI"
        return Finding("note", "tracking", _silent(uri, response, todo))
    return _known("tracking", "MLflow", uri, response, addresses.TRACKING)


def _prefect(api: str) -> Finding:
    if api.startswith(prefect_api.CLOUD):
        return Finding("ok", "prefect api", f"{mask(api)}, not checked: it needs a key")
    response = probing.get(api, "/version")
    if response.status is None:
        todo = "start it, correct or unset PREFECT_API_URL, or train with --local"
        return Finding("FAIL", "prefect api", _silent(api, response, todo))
    return _known("prefect api", "Prefect", api, response, addresses.API)


def _silent(address: str, response: probing.Response, todo: str) -> str:
    return f"{mask(address)} does not respond ({response.text}): {todo}"


def _known(part: str, product: str, address: str, response: probing.Response, variable: str) -> Finding:
    """Tell whether the answer to a question for the version is one."""
    version = response.text.strip('"')
    if response.status == 200 and re.fullmatch(r"\d+\.\d+[\w.+-]*", version):
        return Finding("ok", part, f"{product} {version} at {mask(address)}")
    if response.status in (401, 403):
        return Finding("ok", part, f"{mask(address)} responds, and needs a login")
    text = f"what responds at {mask(address)} is not {product} (HTTP {response.status}): correct {variable}"
    return Finding("FAIL", part, text)


def _server_logs(workspace: Workspace) -> Iterator[Finding]:
    for log in interfaces.logs(workspace):
        error = server_log.last_error(log)
        if error:
            yield Finding("note", "server log", error.sentence(log))
        else:
            yield Finding("ok", "server log", f"no error in {log}")


def _spool(workspace: Workspace) -> Iterator[Finding]:
    if refused := rejects.describe(workspace.spool):
        yield Finding("note", "spool", refused)
    else:
        yield Finding("ok", "spool", f"no rejected events in {workspace.spool}")


def _ports() -> Iterator[Finding]:
    for port, use in PORTS.items():
        with socket.socket() as probe:
            in_use = probe.connect_ex(("127.0.0.1", port)) == 0
        if in_use:
            yield Finding("note", f"port {port}", f"in use: {use} is already running, or needs another port")
        else:
            yield Finding("ok", f"port {port}", f"free for {use}")


def _hub(workspace: Workspace) -> Iterator[Finding]:
    modules = [p for p in workspace.hub.iterdir() if p.is_dir()] if workspace.hub.is_dir() else []
    damaged = [module.name for module in modules if not (module / "saved_model.pb").is_file()]
    if damaged:
        yield Finding(
            "FAIL",
            "hub cache",
            f"no saved_model.pb in {', '.join(damaged[:3])}: remove it from {workspace.hub}",
        )
    else:
        yield Finding("ok", "hub cache", f"{len(modules)} modules in {workspace.hub}")


def _disk(workspace: Workspace) -> Iterator[Finding]:
    there = next(folder for folder in (workspace.root, *workspace.root.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free / 2**30
    text = f"{free:.1f} GiB free for {workspace.root}"
    yield (
        Finding("ok", "disk", text) if free > 2 else Finding("FAIL", "disk", f"{text}: at least 2 are needed")
    )


def _startup_code() -> Iterator[Finding]:
    # Lines that begin with "import" in a .pth file run at every start of Python (a known way in).
    trusted = {"distutils-precedence.pth", "_virtualenv.pth"}
    files = [path for folder in site.getsitepackages() for path in Path(folder).glob("*.pth")]
    running = [p.name for p in files if any(line.startswith("import") for line in p.read_text().splitlines())]
    foreign = sorted(set(running) - trusted)
    if foreign:
        yield Finding(
            "note",
            "start-up code",
            f"files that Python runs at every start: {', '.join(foreign)}; check that you trust them",
        )
    else:
        yield Finding("ok", "start-up code", "no unknown .pth file runs code")

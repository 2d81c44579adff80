"""The model server against what a model can do at most and what people use instead."""

import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from flows.workspace import Workspace
from serving.repository.repository import Repository
from tests.benchmarks.subjects import Subject, subjects
from tests.benchmarks.table import ROOT, Table, machine

CALLERS = (1, 8, 32)
#: How often each cell is measured, all servers of a model in turn: a shared machine is not as fast now as a
#: minute later, and ratios compare what stood side by side.
TURNS = int(os.environ.get("SERVABLE_BENCH_TURNS", "3"))
SECONDS = float(os.environ.get("SERVABLE_BENCH_SECONDS", "1"))
#: Of `servable serve` to FastAPI with 32 callers.
AIM = "1.4 (photo), 1.5 (text, most_similar)"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
#: `servable serve` as it stands, and the server by TensorFlow Serving's flags, which runs each request alone.
SERVE, PLAIN, BATCHING = "servable serve", "servable", "servable, batching"
MLFLOW = "mlflow models serve"


@dataclass(frozen=True)
class Cell:
    """What one server did for one number of callers.

    Attributes:
        model: the subject's name.
        server: the server's.
        callers: how many ask at a time; None for calls in process.
        rate: requests a second.
        limit: requests a second in process; 0 where the server runs no model.
        p50, p99: milliseconds.
        errors: failed requests.
        peak: most memory, MB.
        loaded: MB of a process that only loaded the model.
    """

    model: str
    server: str
    callers: int | None
    rate: float
    limit: float
    loaded: float
    peak: float
    p50: float | None = None
    p99: float | None = None
    errors: int | None = None

    def row(self) -> tuple[object, ...]:
        """Return the row of the table."""
        shown = [("" if value is None else round(value, 1)) for value in (self.p50, self.p99, self.errors)]
        return (
            *(self.model, self.server, self.callers or "", round(self.rate)),
            *(round(self.rate / self.limit, 2) if self.limit else "", *shown),
            *(round(self.peak), round(self.peak - self.loaded) if self.limit else ""),
        )


def serving() -> Table:
    """Measure every server with 1, 8 and 32 callers on each subject."""
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects(Path(folder)):
            cells += _measured(subject)
    prose = (
        f"One client process, callers that each wait for their answer, {TURNS} turns of {SECONDS:g} s a cell "
        f"and their median; {machine()}. Limit: the signature called in process at the best batch of 1 to "
        "32, from two threads, with the machine to itself, once a turn; the client shares the machine with "
        "every server. Echo: a gRPC server in Python that answers with the bytes it got. Memory is the peak "
        "of the server and its children; in the row of the limit, what a process holds that only loaded the "
        "model."
    )
    columns = (
        *("model", "server", "callers", "requests/s", "of the limit"),
        *("p50 ms", "p99 ms", "errors", "peak MB", "MB over loaded"),
    )
    rows = [cell.row() for cell in cells]
    return Table("serving", "The model server", prose, columns, rows, more=(ratios(cells),))


def _measured(subject: Subject) -> list[Cell]:
    turns: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    with ExitStack() as stack:
        limit = stack.enter_context(_limit(subject))
        best = json.loads(_line(limit))
        servers = [(stack.enter_context(_running(command)), doors) for command, doors in _servers(subject)]
        rates = []
        for _ in range(TURNS):
            rates.append(_limit_now(limit))
            for process, doors in servers:
                for door, callers in itertools.product(doors, CALLERS):
                    turns[door[0], callers].append(_asked(process, door, callers))
        rates.append(_limit_now(limit))
    loaded, of_limit = best["loaded"], median(rates)
    first = Cell(
        *(subject.name, f"in process, batch {best['batch']}", None, of_limit, of_limit, loaded, loaded)
    )
    cells = [first]
    for (label, callers), found in turns.items():
        rate, p50, p99 = (median(turn[key] for turn in found) for key in ("rate", "p50", "p99"))
        errors, peak = int(sum(turn["errors"] for turn in found)), max(turn["memory"] for turn in found)
        own = 0 if "echo" in label else of_limit
        cells.append(Cell(subject.name, label, callers, rate, own, loaded, peak, p50, p99, errors))
    for cell in cells:
        print(*cell.row(), file=sys.stderr, flush=True)
    return cells


def _asked(process: psutil.Process, door: "Door", callers: int) -> dict[str, float]:
    _, kind, port, path, body = door
    found = json.loads(_output("load", kind, f"127.0.0.1:{port}", path, body, callers, SECONDS))
    return {**found, "memory": _memory(process)}


@contextmanager
def _limit(subject: Subject) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.benchmarks.rivals", "limit", str(subject.description)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def _limit_now(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None
    print(SECONDS, file=process.stdin, flush=True)
    return float(_line(process))


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


Door = tuple[str, str, int, str, Path]


def _servers(subject: Subject) -> Iterator[tuple[list[str], list[Door]]]:
    """Return the command of each server, and for each way in: name, kind, port, path and request."""
    rivals = [sys.executable, "-m", "tests.benchmarks.rivals"]
    if subject.name == "half_plus_two":
        port = _free()
        yield [*rivals, "echo", str(port)], [("echo, gRPC", "grpc", port, PREDICT, subject.grpc)]
    base = f"--model_base_path={subject.path.parent}"
    for label, starts in (
        (SERVE, ["flows", "serve", "--workspace", str(_workspace(subject))]),
        (PLAIN, ["serving", base]),
        (BATCHING, ["serving", base, "--enable_batching"]),
    ):
        port, rest = _free(), _free()
        command = [sys.executable, "-m", *starts, f"--port={port}", f"--rest_api_port={rest}"]
        doors: list[Door] = [(f"{label}, gRPC", "grpc", port, PREDICT, subject.grpc)]
        if label != BATCHING:
            doors.append((f"{label}, REST", "http", rest, "/v1/models/default:predict", subject.rest))
        yield command, doors
    port, told = _free(), str(subject.description)
    yield [*rivals, "fastapi", str(port), told], [("FastAPI", "http", port, "/predict", subject.instances)]
    port, model = _free(), subject.folder / f"{subject.name}-mlflow"
    _output("rivals", "log", told, model)
    door = (MLFLOW, "http", port, "/invocations", subject.instances)
    yield [*rivals, "mlflow", str(port), str(model)], [door]


def _workspace(subject: Subject) -> Path:
    """Make a workspace whose repository has the subject's model, as ``default``."""
    root = subject.folder / f"{subject.name}-workspace"
    Repository(Workspace.open(root).repository).publish("default", subject.path, {})
    return root


def ratios(cells: Sequence[Cell]) -> Table:
    """Compare the servers with 32 callers, against what is aimed at."""
    names = list(dict.fromkeys(cell.model for cell in cells))
    rows = [
        (what, aim, *(shown(_By(cells, name)) for name in names))
        for what, aim, shown in (
            ("gRPC to the limit", "0.9 (photo)", lambda by: by.ratio(f"{PLAIN}, gRPC")),
            ("gRPC to the limit, batching", "0.9 (photo)", lambda by: by.ratio(f"{BATCHING}, gRPC")),
            ("gRPC, p99 to p50", "at most 3 (photo)", lambda by: by.tail(f"{PLAIN}, gRPC")),
            ("gRPC, p99 to p50, batching", "at most 3 (photo)", lambda by: by.tail(f"{BATCHING}, gRPC")),
            (
                "gRPC to a gRPC echo",
                "0.6 (half_plus_two)",
                lambda by: by.ratio(f"{PLAIN}, gRPC", "echo, gRPC"),
            ),
            ("servable serve, gRPC to FastAPI", AIM, lambda by: by.ratio(f"{SERVE}, gRPC", "FastAPI")),
            ("servable serve, REST to FastAPI", AIM, lambda by: by.ratio(f"{SERVE}, REST", "FastAPI")),
            (
                "servable serve, p50 of one caller to plain",
                "at most 1.1",
                lambda by: by.lone(f"{SERVE}, gRPC", f"{PLAIN}, gRPC"),
            ),
            ("gRPC to FastAPI", "1.5", lambda by: by.ratio(f"{PLAIN}, gRPC", "FastAPI")),
            ("gRPC to FastAPI, batching", "1.5", lambda by: by.ratio(f"{BATCHING}, gRPC", "FastAPI")),
            ("the limit to FastAPI", "", lambda by: by.ratio(None, "FastAPI")),
            ("gRPC to mlflow models serve", "4", lambda by: by.ratio(f"{PLAIN}, gRPC", MLFLOW)),
            ("gRPC to mlflow models serve, batching", "4", lambda by: by.ratio(f"{BATCHING}, gRPC", MLFLOW)),
            ("the limit to mlflow models serve", "", lambda by: by.ratio(None, MLFLOW)),
            ("REST to gRPC", "0.6", lambda by: by.ratio(f"{PLAIN}, REST", f"{PLAIN}, gRPC")),
            ("servable serve, peak MB over loaded", "at most 300", lambda by: by.memory(SERVE)),
            ("peak MB over loaded", "at most 300", lambda by: by.memory(PLAIN)),
            ("peak MB over loaded, batching", "at most 300", lambda by: by.memory(BATCHING)),
        )
    ]
    return Table("ratios", "Ratios with 32 callers", "", ("ratio", "aim", *names), rows)


class _By:
    """The cells of one model with the most callers."""

    def __init__(self, cells: Sequence[Cell], model: str) -> None:
        mine = [cell for cell in cells if cell.model == model]
        self._servers = {cell.server: cell for cell in mine if cell.callers == CALLERS[-1]}
        self._all, self._limit = mine, mine[0].limit

    def _rate(self, server: str | None) -> float | None:
        if server is None:
            return self._limit
        return self._servers[server].rate if server in self._servers else None

    def ratio(self, server: str | None, other: str | None = None) -> object:
        """Divide a server's requests a second by another's; None stands for the limit."""
        above, below = self._rate(server), self._rate(other)
        return round(above / below, 2) if above and below else ""

    def lone(self, server: str, other: str) -> object:
        """Divide a server's p50 with one caller by another's."""
        p50 = {cell.server: cell.p50 for cell in self._all if cell.callers == CALLERS[0]}
        return round((p50[server] or 0) / (p50[other] or 1), 2)

    def tail(self, server: str) -> object:
        """Divide p99 by p50."""
        cell = self._servers[server]
        return round((cell.p99 or 0) / (cell.p50 or 1), 1)

    def memory(self, server: str) -> object:
        """Return the most memory over a process that only loaded the model, by whichever door it is asked."""
        mine = [cell for cell in self._all if cell.server in (f"{server}, gRPC", f"{server}, REST")]
        return round(max(cell.peak - cell.loaded for cell in mine))


@contextmanager
def _running(command: list[str]) -> Iterator[psutil.Process]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert started.stdout is not None
        for line in started.stdout:
            if line.startswith(("ready", "REST")):
                break
        yield psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait(60)


def _memory(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(peak_memory(member) for member in family)


def peak_memory(process: psutil.Process) -> float:
    """Return the most MB that a process held at a time; what it holds now where the system does not tell."""
    status = Path(f"/proc/{process.pid}/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    return float(process.memory_info().rss) / 2**20


def _output(module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

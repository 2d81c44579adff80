"""One process of the model server against several on the same ports: throughput and memory."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import psutil

from tests.benchmarks import serving
from tests.benchmarks.subjects import Subject, _photo, _tiny
from tests.benchmarks.table import ROOT, Table, machine

#: Client processes, each with a channel of its own, and callers of each.
CLIENTS, CALLERS = 4, 8
#: Processes of the server.
NUMBERS = (1, 2)


def processes() -> Table:
    """Measure a tiny model and photos with one process and with two."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for subject in (_tiny(Path(folder)), _photo(Path(folder))) for row in _measured(subject)]
    usable = len(os.sched_getaffinity(0))
    prose = (
        f"`python -m serving --processes=N`, {CLIENTS} client processes of {CALLERS} callers each, all on "
        f"{usable} of {machine()}; {serving.TURNS} turns of {serving.SECONDS:g} s and their median. Memory "
        "is the proportional set size of the server's processes after the load: what they share counts once."
    )
    columns = ("model", "processes", "door", "requests/s", "p50 ms", "p99 ms", "errors", "MB", "MB a process")
    return Table("processes", "Several processes", prose, columns, rows)


def _measured(subject: Subject) -> Iterator[tuple[object, ...]]:
    with ExitStack() as stack:
        servers = {number: _started(stack, subject, number) for number in NUMBERS}
        turns = [
            {key: _asked(*door) for key, door in _doors(subject, servers).items()}
            for _ in range(serving.TURNS)
        ]
        for number, door in turns[0]:
            found = [turn[number, door] for turn in turns]
            rate, p50, p99 = (median(one[key] for one in found) for key in ("rate", "p50", "p99"))
            held = _held(servers[number][0])
            row = (
                *(subject.name, number, door, round(rate), round(p50, 1), round(p99, 1)),
                *(int(sum(one["errors"] for one in found)), round(held), round(held / number)),
            )
            print(*row, file=sys.stderr, flush=True)
            yield row


def _started(stack: ExitStack, subject: Subject, number: int) -> tuple[psutil.Process, int, int]:
    port, rest = serving._free(), serving._free()
    command = [
        *(sys.executable, "-m", "serving", f"--processes={number}", f"--port={port}"),
        *(f"--rest_api_port={rest}", f"--model_base_path={subject.path.parent}"),
    ]
    return stack.enter_context(serving._running(command)), port, rest


def _doors(
    subject: Subject, servers: dict[int, tuple[psutil.Process, int, int]]
) -> dict[tuple[int, str], tuple[str, int, str, Path]]:
    doors: dict[tuple[int, str], tuple[str, int, str, Path]] = {}
    for number, (_, port, rest) in servers.items():
        doors[number, "gRPC"] = ("grpc", port, serving.PREDICT, subject.grpc)
        doors[number, "REST"] = ("http", rest, "/v1/models/default:predict", subject.rest)
    return doors


def _asked(kind: str, port: int, path: str, body: Path) -> dict[str, float]:
    """Let every client ask at the same time, and add up what they got."""
    command = [
        *(sys.executable, "-m", "tests.benchmarks.load", kind, f"127.0.0.1:{port}", path, str(body)),
        *(str(CALLERS), str(serving.SECONDS)),
    ]
    clients = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(CLIENTS)]
    found = [json.loads(client.communicate()[0]) for client in clients]
    return {
        "rate": sum(one["rate"] for one in found),
        "p50": median(one["p50"] for one in found),
        "p99": max(one["p99"] for one in found),
        "errors": sum(one["errors"] for one in found),
    }


def _held(process: psutil.Process) -> float:
    """Return the MB of a process and its children."""
    family = [process, *process.children(recursive=True)]
    return float(sum(member.memory_full_info().pss for member in family)) / 2**20

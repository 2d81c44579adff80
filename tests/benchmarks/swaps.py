"""A server that holds a hundred versions while another model of its is replaced fifty times under load."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.benchmarks import serving
from tests.benchmarks.table import ROOT, Table, machine

VERSIONS, SWAPS, CALLERS = 100, 50, 8
#: Swaps after which memory is read first: by then the allocator has what it needs.
SETTLED = 10
#: Seconds measured; a swap takes about one, the interval at which the server looks at its folders.
SECONDS = 44


def swaps() -> Table:
    """Load 100 versions, then swap a tiny model 50 times while 8 callers ask for it."""
    with tempfile.TemporaryDirectory() as folder:
        rows = list(_measured(Path(folder)))
    prose = (
        f"{VERSIONS} versions of half_plus_two loaded at once; then {SWAPS} new versions of a second model, "
        f"one after the other, under {CALLERS} gRPC callers, client and server on one machine; {machine()}. "
        f"Growth is the server's memory after the last swap less that after the first {SETTLED}."
    )
    return Table("swaps", "Versions and hot swaps", prose, ("figure", "value", "target"), rows)


def _measured(folder: Path) -> Iterator[tuple[object, ...]]:
    from tests.serving.saved_models import line

    model = line(folder / "model")
    for number in range(1, VERSIONS + 1):
        shutil.copytree(model, folder / "many" / str(number))
    _put(model, folder / "hot", 1)
    config, port, rest = folder / "models.config", serving._free(), serving._free()
    config.write_text(_config(folder))
    command = [
        *(sys.executable, "-m", "serving", f"--port={port}", f"--rest_api_port={rest}"),
        *(f"--model_config_file={config}", "--file_system_poll_wait_seconds=1"),
    ]
    started = time.perf_counter()
    with serving._running(command) as process:
        yield f"seconds to serve {VERSIONS} versions", round(time.perf_counter() - started, 1), ""
        yield f"MB with {VERSIONS} versions", round(_held(process)), ""
        yield from _swapped(process, model, folder, port)


def _swapped(process: psutil.Process, model: Path, folder: Path, port: int) -> Iterator[tuple[object, ...]]:
    body = folder / "request.bin"
    body.write_bytes(_request())
    command = [sys.executable, "-m", "tests.benchmarks.load", "grpc", f"127.0.0.1:{port}", serving.PREDICT]
    load = subprocess.Popen(
        [*command, str(body), str(CALLERS), str(SECONDS)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    memory = [_swap(process, model, folder, port, number) for number in range(2, SWAPS + 2)]
    within = load.poll() is None
    found = json.loads(load.communicate()[0])
    yield f"swaps done while callers asked (all: {within})", len(memory), SWAPS
    yield "requests/s", round(found["rate"]), ""
    yield "failed requests", int(found["errors"]), 0
    yield "p50 ms", round(found["p50"], 1), ""
    yield "p99 ms", round(found["p99"], 1), "<= 50"
    yield "growth, MB", round(memory[-1] - memory[SETTLED - 1], 1), "none"


def _swap(process: psutil.Process, model: Path, folder: Path, port: int, number: int) -> float:
    from serving.client.client import Client

    _put(model, folder / "hot", number)
    with Client(f"127.0.0.1:{port}") as client:
        while [one.version for one in client.status("hot") if one.available] != [number]:
            time.sleep(0.05)
    return _held(process)


def _put(model: Path, base: Path, number: int) -> None:
    staged = base.parent / f".staged-{number}"
    shutil.copytree(model, staged)
    base.mkdir(exist_ok=True)
    staged.rename(base / str(number))


def _config(folder: Path) -> str:
    policies = {"many": "all {}", "hot": "latest { num_versions: 1 }"}
    entries = [
        f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" '
        f"model_version_policy {{ {policy} }} }}"
        for name, policy in policies.items()
    ]
    return f"model_config_list {{ {' '.join(entries)} }}"


def _request() -> bytes:
    import numpy as np
    from tensorflow_serving.apis import predict_pb2

    from serving import tensors

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "hot"
    tensors.encode(np.array([1, 2, 5], np.float32), request.inputs["x"], content=True)
    return bytes(request.SerializeToString())


def _held(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20

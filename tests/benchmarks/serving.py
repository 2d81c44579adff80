"""The model server against what a model can do at most and what people use instead."""

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.table import ROOT, SHARED, Table, machine

CALLERS = (1, 8, 32)
SECONDS = float(os.environ.get("SERVABLE_BENCH_SECONDS", "4"))
MODULE = SHARED / "hub" / "mobilenet_v2_100_224_feature_vector"
PHOTO = SHARED / "hub" / "sample_photos"
PREDICT = "/tensorflow.serving.PredictionService/Predict"


@dataclass(frozen=True)
class Subject:
    """A model to serve and one request for it.

    Attributes:
        name: its name in the table.
        path: its SavedModel, in a base path as version 1.
        argument: name of its input.
        value: file with the value of one row: an array or raw bytes.
        grpc: file with a serialised PredictRequest.
        rest: file with a JSON request.
        binary: whether the input is bytes.
    """

    name: str
    path: Path
    argument: str
    value: Path
    grpc: Path
    rest: Path
    binary: bool


def serving() -> Table:
    """Measure every server with 1, 8 and 32 callers, on a tiny model and on an image classifier."""
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        for subject in (_tiny(Path(folder)), _photos(Path(folder))):
            for row in _measured(subject, Path(folder)):
                print(*row, file=sys.stderr, flush=True)
                rows.append(row)
    prose = (
        f"One client process, callers that each wait for their answer, {SECONDS:.0f} s a cell; {machine()}. "
        "Limit: the signature called in process at the best batch of 1 to 32, from two threads, with the "
        "machine to itself; the client shares the machine with every server. Echo: a gRPC server in Python "
        "that answers with the bytes it got. Memory is the peak of the server and its children; in the row "
        "of the limit, what a process holds that only loaded the model."
    )
    columns = (
        *("model", "server", "callers", "requests/s", "of the limit"),
        *("p50 ms", "p99 ms", "errors", "peak MB", "MB over loaded"),
    )
    return Table("serving", "The model server", prose, columns, rows)


def _measured(subject: Subject, folder: Path) -> Iterator[tuple[object, ...]]:
    best = json.loads(_output("rivals", "limit", subject.path, subject.argument, subject.value, "1"))
    yield (
        *(subject.name, f"in process, batch {best['batch']:.0f}", "", round(best["rate"]), 1, "", "", ""),
        *(round(best["loaded"]), 0),
    )
    for label, kind, command, port, path, body in _servers(subject, folder):
        with _running(command) as process:
            for callers in CALLERS:
                found = json.loads(_output("load", kind, f"127.0.0.1:{port}", path, body, callers, SECONDS))
                peak = _memory(process)
                yield (
                    subject.name,
                    label,
                    callers,
                    round(found["rate"]),
                    round(found["rate"] / best["rate"], 2),
                    round(found["p50"], 1),
                    round(found["p99"], 1),
                    int(found["errors"]),
                    round(peak),
                    round(peak - best["loaded"]),
                )


def _servers(subject: Subject, folder: Path) -> Iterator[tuple[str, str, list[str], int, str, Path]]:
    python = sys.executable
    rivals = [python, "-m", "tests.benchmarks.rivals"]
    port = _free()
    yield "echo, gRPC", "grpc", [*rivals, "echo", str(port)], port, PREDICT, subject.grpc
    for label, extra in (("servable", []), ("servable, batching", ["--enable_batching"])):
        port, rest = _free(), _free()
        command = [
            *(python, "-m", "serving", f"--port={port}", f"--rest_api_port={rest}"),
            *(f"--model_base_path={subject.path.parent}", *extra),
        ]
        yield f"{label}, gRPC", "grpc", command, port, PREDICT, subject.grpc
        yield f"{label}, REST", "http", command, rest, "/v1/models/default:predict", subject.rest
    port = _free()
    command = [
        *rivals,
        "fastapi",
        str(port),
        str(subject.path),
        subject.argument,
        str(subject.binary).lower(),
    ]
    yield "FastAPI", "http", command, port, "/predict", subject.rest
    port = _free()
    model = _logged(subject, folder)
    command = [*rivals, "mlflow", str(port), str(model)]
    yield "mlflow models serve", "http", command, port, "/invocations", subject.rest


def _logged(subject: Subject, folder: Path) -> Path:
    path = folder / f"{subject.name}-mlflow"
    _output("rivals", "log", subject.path, subject.argument, str(subject.binary).lower(), path)
    return path


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


def _tiny(folder: Path) -> Subject:
    import numpy as np

    from tests.serving.saved_models import line

    path = line(folder / "tiny" / "1")
    value = np.array([1, 2, 5], np.float32)
    np.save(folder / "tiny.npy", value)
    rest = json.dumps({"instances": value.tolist()})
    return _subject(folder, "half_plus_two", path, "x", value, folder / "tiny.npy", rest, binary=False)


def _photos(folder: Path) -> Subject:
    import numpy as np
    import tensorflow as tf

    from tests.benchmarks.photo_model import save

    path = save(MODULE, folder / "photos" / "1")
    source = next(file for file in sorted(PHOTO.iterdir()) if file.suffix == ".jpg")
    image = tf.image.resize(tf.io.decode_jpeg(source.read_bytes(), channels=3), (224, 224))
    raw = tf.io.encode_jpeg(tf.cast(image, tf.uint8)).numpy()
    (folder / "photo.jpg").write_bytes(raw)
    rest = json.dumps({"instances": [{"b64": base64.b64encode(raw).decode()}]})
    value = np.array([raw], object)
    return _subject(folder, "photo", path, "image_bytes", value, folder / "photo.jpg", rest, binary=True)


def _subject(
    folder: Path, name: str, path: Path, argument: str, value: object, file: Path, rest: str, *, binary: bool
) -> Subject:
    from tensorflow_serving.apis import predict_pb2

    from serving import tensors

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "default"
    tensors.encode(value, request.inputs[argument], content=True)  # type: ignore[arg-type]
    (folder / f"{name}.bin").write_bytes(request.SerializeToString())
    (folder / f"{name}.json").write_text(rest)
    return Subject(name, path, argument, file, folder / f"{name}.bin", folder / f"{name}.json", binary)

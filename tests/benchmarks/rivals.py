"""What the model server is compared with; each a process of its own.

``python -m tests.benchmarks.rivals {echo,fastapi,mlflow,log,limit} ...``.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.benchmarks.subjects import plain


def echo(port: str) -> None:
    """Answer every gRPC call with its own bytes: what Python's gRPC server can do at most."""
    import grpc

    class Echo(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(lambda raw, context: raw)

    server = grpc.server(ThreadPoolExecutor(16), handlers=[Echo()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def _called(described: str) -> tuple[Callable[..., Any], Any]:
    """Load a subject: a function from rows to the signature's outputs, and what the file says."""
    import tensorflow as tf

    subject = json.loads(Path(described).read_text())
    signature = tf.saved_model.load(subject["path"]).signatures[subject["signature"]]
    specs = signature.structured_input_signature[1]

    def call(rows: list) -> dict:
        beside = {name: [value] * len(rows) for name, value in subject["beside"].items()}
        given = {subject["argument"]: rows, **beside}
        return dict(
            signature(**{name: tf.constant(value, specs[name].dtype) for name, value in given.items()})
        )

    return call, subject


def fastapi(port: str, described: str) -> None:
    """Serve a SavedModel as most people do: an endpoint of FastAPI that calls the signature."""
    import uvicorn
    from fastapi import FastAPI, Request

    call, _ = _called(described)
    app = FastAPI(on_startup=[lambda: print("ready", flush=True)])

    def answer(rows: list) -> dict:
        return {key: _jsonable(value.numpy().tolist()) for key, value in call(plain(rows)).items()}

    @app.post("/predict")
    async def predict(request: Request) -> dict:
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(answer, (await request.json())["instances"])

    uvicorn.run(app, port=int(port), log_level="error")


def _jsonable(value: Any) -> Any:
    if isinstance(value, list):
        return [_jsonable(part) for part in value]
    return value.decode() if isinstance(value, bytes) else value


def log(described: str, target: str) -> None:
    """Keep a SavedModel as MLflow serves one: a Python function that calls the signature."""
    import mlflow

    class Caller(mlflow.pyfunc.PythonModel):
        def load_context(self, context: object) -> None:
            self.call, _ = _called(described)

        def predict(self, context: object, model_input: object, params: object = None) -> list:
            import numpy as np

            # Bytes come as a column named b64, all else as an array.
            coded = isinstance(model_input, dict)
            values = next(iter(model_input.values())) if coded else model_input  # type: ignore[attr-defined]
            rows = np.asarray(values).reshape(-1).tolist()
            answer = self.call(plain([{"b64": row} for row in rows] if coded else rows))
            return [_jsonable(value.numpy().tolist()) for value in answer.values()]

    mlflow.pyfunc.save_model(target, python_model=Caller(), pip_requirements=["tensorflow"])


def mlflow(port: str, model: str) -> None:
    """Run ``mlflow models serve`` until it answers, and then for as long as it lives."""
    import subprocess
    import urllib.request

    # MLflow starts uvicorn by name.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        model,
        "-p",
        port,
        "--env-manager",
        "local",
    ]
    # It writes a line for each request: a pipe that nobody reads would fill and stop it.
    started = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: started.terminate())
    while started.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
            break
        except OSError:
            time.sleep(0.2)
    print("ready", flush=True)
    started.wait()


def limit(described: str) -> None:
    """Call the signature in process from two threads: requests a second at the best batch.

    Prints the batch, with the MB held once the model was loaded, before the first call; then, for each line
    of seconds that it reads, the requests a second in that time.
    """
    import psutil

    call, subject = _called(described)
    loaded = psutil.Process().memory_info().rss / 2**20
    rows = plain(subject["rows"])
    best = max((1, 4, 8, 16, 32), key=lambda size: _rate(call, rows, size, 0.7))
    print(json.dumps({"batch": best, "loaded": loaded}), flush=True)
    for line in sys.stdin:
        print(_rate(call, rows, best, float(line)), flush=True)


def _rate(call: Callable[..., Any], rows: list, size: int, seconds: float) -> float:
    """Return the requests a second that a batch of so many comes to, from two threads."""
    call(rows * size)
    counts = [0, 0]
    begin = time.perf_counter()
    end = begin + seconds

    def work(number: int) -> None:
        while time.perf_counter() < end:
            call(rows * size)
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) * size / (time.perf_counter() - begin)


if __name__ == "__main__":
    {"echo": echo, "fastapi": fastapi, "mlflow": mlflow, "log": log, "limit": limit}[sys.argv[1]](
        *sys.argv[2:]
    )

"""What the model server is compared with; each a process of its own.

``python -m tests.benchmarks.rivals {echo,fastapi,mlflow,log,limit} ...``.
"""

import base64
import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


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


def fastapi(port: str, path: str, name: str, binary: str) -> None:
    """Serve a SavedModel as most people do: an endpoint of FastAPI that calls the signature."""
    import tensorflow as tf
    import uvicorn
    from fastapi import FastAPI, Request

    call = tf.saved_model.load(path).signatures["serving_default"]
    app = FastAPI(on_startup=[lambda: print("ready", flush=True)])

    def answer(rows: list) -> dict:
        if binary == "true":
            rows = [base64.b64decode(row["b64"]) for row in rows]
        outputs = call(**{name: tf.constant(rows)})
        return {key: value.numpy().tolist() for key, value in outputs.items()}

    @app.post("/predict")
    async def predict(request: Request) -> dict:
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(answer, (await request.json())["instances"])

    uvicorn.run(app, port=int(port), log_level="error")


def log(path: str, name: str, binary: str, target: str) -> None:
    """Keep a SavedModel as MLflow serves one: a Python function that calls the signature."""
    import mlflow

    class Caller(mlflow.pyfunc.PythonModel):
        def load_context(self, context: object) -> None:
            import tensorflow as tf

            self.call = tf.saved_model.load(path).signatures["serving_default"]

        def predict(self, context: object, model_input: object, params: object = None) -> list:
            import base64

            import numpy as np
            import tensorflow as tf

            values = next(iter(model_input.values())) if isinstance(model_input, dict) else model_input
            rows = np.asarray(values).reshape(-1).tolist()
            if binary == "true":
                rows = [base64.b64decode(row) for row in rows]
            outputs = self.call(**{name: tf.constant(rows, None if binary == "true" else tf.float32)})
            return [value.numpy().tolist() for value in outputs.values()]

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


def limit(path: str, name: str, file: str, seconds: str) -> None:
    """Call the signature in process: the best rows a second of several batch sizes and two threads.

    Prints also the MB held once the model was loaded, before the first call.
    """
    import numpy as np
    import psutil
    import tensorflow as tf

    call = tf.saved_model.load(path).signatures["serving_default"]
    loaded = psutil.Process().memory_info().rss / 2**20
    value = np.load(file, allow_pickle=False) if file.endswith(".npy") else Path(file).read_bytes()
    best = {"rate": 0.0, "batch": 0.0}
    for size in (1, 4, 8, 16, 32):
        feed = {name: tf.constant([value] * size if isinstance(value, bytes) else np.repeat(value, size, 0))}
        call(**feed)
        counts = [0, 0]
        end = time.perf_counter() + float(seconds)

        def work(number: int, feed: dict = feed, counts: list = counts, end: float = end) -> None:
            while time.perf_counter() < end:
                call(**feed)
                counts[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best = max(
            best, {"rate": sum(counts) * size / float(seconds), "batch": float(size)}, key=lambda b: b["rate"]
        )
    print(json.dumps({**best, "loaded": loaded}))


if __name__ == "__main__":
    {"echo": echo, "fastapi": fastapi, "mlflow": mlflow, "log": log, "limit": limit}[sys.argv[1]](
        *sys.argv[2:]
    )

"""Promotions, canaries and rollbacks under 20 callers, with `servable serve` and its watch."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tests.benchmarks.table import ROOT, Table, machine

if TYPE_CHECKING:
    from serving.client.client import Client
    from serving.repository.repository import Repository

CALLERS, REQUESTS, SHARE = 20, 10_000, 25.0

#: What callers send: on the others, the faulty version fails, is slow, is unsure, or has one answer for all.
HEALTHY = np.linspace(0, 1, 4, dtype=np.float32)
FAULTS = {"errors": HEALTHY + 10, "latency": HEALTHY + 20, "scores": HEALTHY + 30, "answers": HEALTHY + 40}
#: Here it gives the answers of the healthy one, and is surer of them.
SURER = HEALTHY + 50


class _Model(tf.Module):
    def __init__(self, *, faulty: bool, size: int = 1) -> None:
        super().__init__()
        self.faulty, self.size = faulty, size

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def score(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        rest = x - 10 * tf.floor(x / 10)
        score, label = tf.sigmoid(rest), tf.strings.as_string(tf.cast(tf.round(3 * rest), tf.int32))
        if not self.faulty:
            return {"score": score, "label": label}
        kind = tf.reduce_max(x)
        broken = tf.debugging.Assert(tf.logical_or(kind < 10, kind >= 20), ["planted fault"])
        with tf.control_dependencies([broken]):
            # Without control flow: its hops between threads are slow on any input where processors are busy.
            size = tf.where(tf.logical_and(kind >= 20, kind < 30), self.size, 1)
            square = tf.fill([size, size], kind * 1e-9)
            worked = square @ square @ square
            score = tf.where(kind >= 40, 0.99, tf.where(kind >= 30, 0.01, score)) + 0 * tf.reduce_sum(worked)
            return {"score": score, "label": tf.where((kind >= 40) & (kind < 50), "0", label)}


def healthy(path: Path) -> Path:
    """Save a model without fault."""
    module = _Model(faulty=False)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.score})
    return path


def faulty(path: Path, size: int = 1000) -> Path:
    """Save a model that is at fault on what `FAULTS` names; slow by two products of matrices of a size."""
    module = _Model(faulty=True, size=size)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.score})
    return path


def canaries() -> Table:
    """Move labels of a model again and again while 20 callers ask for it."""
    with tempfile.TemporaryDirectory() as folder:
        rows = list(_measured(Path(folder)))
    prose = (
        f"`servable serve` with its watch; {CALLERS} gRPC callers, each request with another "
        f"`servable-client`, in one process on the same machine; canaries answer {SHARE:g} % of the "
        f"requests; MLflow on SQLite; {machine()}. "
        "A fault is planted by other inputs, on which only the canary is at fault."
    )
    return Table("canaries", "Canaries", prose, ("figure", "value", "target"), rows)


class _Load:
    """Callers, until they are told to stop."""

    def __init__(self, target: str) -> None:
        self.target, self.x, self.failures = target, HEALTHY, 0
        self.versions: Counter[int] = Counter()
        self._done, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CALLERS)]

    def _ask(self, caller: int) -> None:
        from serving.client.client import Client

        count = 0
        with Client(self.target, retries=0) as client:
            while not self._done.is_set():
                count += 1
                self._once(client.with_key(f"user-{caller}-{count}"))

    def _once(self, client: "Client") -> None:
        try:
            version = client.predict("line", x=self.x).version
        except Exception:
            version = 0
        with self._lock:
            self.versions[version] += 1

    def __enter__(self) -> "_Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def count(self) -> int:
        """Return the number of requests so far."""
        return sum(self.versions.values())


def _measured(folder: Path) -> Iterator[tuple[object, ...]]:
    from flows.workspace import Workspace
    from serving.repository.repository import Repository

    workspace = Workspace.open(folder / "workspace")
    repository = Repository(workspace.repository)
    models = [healthy(folder / "healthy"), healthy(folder / "other"), faulty(folder / "faulty")]
    for model in models:
        repository.publish("line", model, {}, promote=model is models[0])
    registry = _registered(folder / "mlruns", repository)
    with _serving(workspace.root) as server, _Load(server) as load:
        yield from _followed(registry, load)
        yield from _shared(repository, load)
        yield from _moved(repository, load)
        for fault in FAULTS:
            yield from _planted(repository, load, fault)
    yield "requests in all", load.count(), ""
    yield "failed requests", load.versions[0], 0


def _registered(folder: Path, repository: "Repository") -> Any:
    """Register the versions of the model in a new MLflow store; return its client."""
    from flows.tracking.store.aliases import RELEASE_TAG
    from flows.tracking.store.mlflow_store import Ledger
    from tests import mlflow_store

    client = Ledger(mlflow_store.database(folder), folder).client
    client.create_registered_model("line")
    for version in repository.versions("line"):
        place = str(repository.path("line", version))
        client.create_model_version("line", place, tags={RELEASE_TAG: str(version)}, await_creation_for=0)
    return client


def _followed(registry: Any, load: _Load) -> Iterator[tuple[object, ...]]:
    _until(lambda: str(registry.get_registered_model("line").aliases.get("champion")) == "1")
    for version in (2, 1):
        before, began = load.versions[version], time.perf_counter()
        registry.set_registered_model_alias("line", "champion", str(version))
        _until(lambda version=version, before=before: load.versions[version] > before)
        yield (
            f"seconds from champion moved to {version} in MLflow to its first answer",
            round(time.perf_counter() - began, 1),
            "<= 5",
        )


def _shared(repository: "Repository", load: _Load) -> Iterator[tuple[object, ...]]:
    # The same version was the stable one before: only what it answers from now on tells that the trial runs.
    earlier = load.versions[2]
    repository.promote("line", 2, "trial", share=SHARE)
    _until(lambda: load.versions[2] > earlier)
    before = Counter(load.versions)
    _until(lambda: load.count() >= before.total() + REQUESTS)
    later = load.versions - before
    yield "requests of the first trial", later.total(), ""
    yield "of these, answered by the canary, %", round(100 * later[2] / later.total(), 2), f"{SHARE:g} +- 1"


def _moved(repository: "Repository", load: _Load) -> Iterator[tuple[object, ...]]:
    began = time.perf_counter()
    moves = 0
    for _ in range(3):
        for move in (
            lambda: repository.promote("line", 2, "good"),
            lambda: repository.rollback("line", "after all"),
            lambda: repository.promote("line", 2, "trial", share=SHARE),
            lambda: repository.rollback("line", "worse"),
        ):
            move()
            moves += 1
            wanted = repository.stable("line")
            before = load.versions[wanted]
            _until(lambda wanted=wanted, before=before: load.versions[wanted] > before + 20)
    yield "promotions, canaries and rollbacks by hand", moves, ""
    yield "seconds from one to the next", round((time.perf_counter() - began) / moves, 1), ""


def _planted(repository: "Repository", load: _Load, fault: str) -> Iterator[tuple[object, ...]]:
    repository.promote("line", 3, "trial", share=SHARE)
    before = load.versions[3]
    _until(lambda: load.versions[3] > before + 200)
    load.x, began = FAULTS[fault], time.perf_counter()
    _until(lambda: repository.canary("line") is None)
    yield f"seconds from a fault ({fault}) to the rollback", round(time.perf_counter() - began, 1), "<= 10"
    load.x = HEALTHY


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to hold")
        time.sleep(0.01)


@contextmanager
def _serving(root: Path) -> Iterator[str]:
    """Run `servable serve` on a workspace, in a process of its own; yield its gRPC address."""
    command = [sys.executable, "-m", "flows", "serve", "--port=0", "--rest_api_port=0"]
    process = subprocess.Popen(
        [*command, "--workspace", str(root)],
        cwd=ROOT,
        env=os.environ | {"MLFLOW_TRACKING_URI": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        match = re.fullmatch(r"gRPC (\S+)\n", line)
        assert match is not None, line
        yield match[1]
    finally:
        process.terminate()
        process.communicate()

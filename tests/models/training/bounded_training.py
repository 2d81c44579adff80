"""Train on features of twice the memory that is left, under a limit on the process's address space.

python -m tests.models.training.bounded_training FOLDER
"""

import hashlib
import json
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import psutil

from features.datasets.dataset import Dataset
from features.datasets.feature_store import FeatureStore
from features.storage import memory
from models.network import Network, Phase
from models.objective import CLASSIFICATION
from models.training import determinism, training
from models.training.settings import TrainingSettings

#: Bytes that are left to the training, and of all its features.
LEFT, FEATURES = 128 * 2**20, 256 * 2**20
WIDTH = 1 << 14
SHARDS = 8
ROWS = FEATURES // WIDTH // 4


def values(number: int) -> np.ndarray:
    """Make the row of an example: its class is told by the first value."""
    row = np.random.default_rng(number).random(WIDTH, np.float32)
    row[0] = number % 2
    return row


def dataset(rows: int) -> Dataset:
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(rows)]
    split = ["validation" if number % 16 == 0 else "train" for number in range(rows)]
    frame = pd.DataFrame({"sha256": hashes, "name": hashes, "split": split})
    frame["target"] = np.arange(rows) % 2
    return Dataset(Path(), f"bounded-{rows}", ("a", "b"), ("a", "b"), {}, frame, Path())


def fill(store: FeatureStore, data: Dataset) -> None:
    hashes = list(data.frame["sha256"])
    each = -(-len(hashes) // SHARDS)
    for start in range(0, len(hashes), each):
        part = range(start, min(start + each, len(hashes)))
        store.append([hashes[number] for number in part], np.stack([values(number) for number in part]))


def train(data: Dataset, folder: Path) -> tuple[training.History, str]:
    determinism.fix(0)
    model = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(2)])
    stage = SimpleNamespace(fingerprint="rows")
    phase = Phase("head", stage, model, None, epochs=1)
    network = Network(featurizer=stage, model=model, embed=model, phases=(phase,))
    history = training.train(
        network,
        data,
        objective=CLASSIFICATION,
        settings=TrainingSettings(batch_size=32, towers=1),
        stores=folder / "stores",
        checkpoints=folder / f"checkpoints-{data.fingerprint}",
        seed=0,
    )
    return history, training.weights_hash(model)


def main() -> None:
    folder = Path(sys.argv[1])
    data, store = dataset(ROWS), FeatureStore(folder / "stores" / "rows")
    fill(store, data)
    # Threads and their stacks are there then, as in a training that has run for a while.
    train(Dataset(Path(), "warm", ("a", "b"), ("a", "b"), {}, data.frame.head(256), Path()), folder)
    before = psutil.Process().memory_info()
    resource.setrlimit(resource.RLIMIT_AS, (before.vms + LEFT, resource.RLIM_INFINITY))
    history, weights = train(data, folder)
    figures = {"loss": history.epochs[0]["metrics"]["loss"], "weights": weights}
    available, memory.available = memory.available, lambda: 1 << 40
    try:
        train(Dataset(Path(), "whole", ("a", "b"), ("a", "b"), {}, data.frame, Path()), folder)
    except MemoryError:
        figures["in memory"] = "MemoryError"
    memory.available = available
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(json.dumps(figures | {"resident": psutil.Process().memory_info().rss - before.rss}))


if __name__ == "__main__":
    main()

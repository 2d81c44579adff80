"""A training on features of twice the memory that is left to it: it stays inside, and reads the same rows."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.datasets import feature_store
from features.datasets.shard_file import ShardFile
from features.storage import memory
from tests.conftest import ROOT
from tests.models.training.bounded_training import LEFT


def test_features_of_twice_the_memory_that_is_left_are_streamed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.models.training.bounded_training", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert np.isfinite(figures["loss"])
    assert figures["in memory"] == "MemoryError"  # so the limit was one
    assert figures["resident"] < LEFT


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 5), (0, 3), (7, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8, np.int64])
def test_rows_of_a_file_are_those_numpy_loads(tmp_path: Path, shape: tuple[int, ...], dtype: type) -> None:
    array = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    np.save(tmp_path / "rows.npy", array)
    rows = ShardFile(tmp_path / "rows.npy")
    assert (rows.shape, rows.dtype, rows.nbytes) == (array.shape, array.dtype, array.nbytes)
    positions = np.array([5, 0, 5, 6, 1]) if len(array) else np.array([], int)
    np.testing.assert_array_equal(rows[positions], array[positions])


def test_what_is_read_from_files_is_what_is_kept_in_memory(tmp_path: Path, monkeypatch) -> None:
    store = feature_store.FeatureStore(tmp_path)
    hashes = [f"{number:064x}" for number in range(20)]
    rows = np.random.default_rng(0).random((20, 6, 2), np.float32)
    rows[::2, 4:] = -1.0
    for start in (0, 10):
        store.append(hashes[start : start + 10], rows[start : start + 10], padding=-1.0)
    kept = store.gather(hashes)
    monkeypatch.setattr(memory, "available", lambda: 0)
    streamed = store.gather(hashes)
    assert isinstance(streamed._parts[0], ShardFile)
    for positions in (np.array([3, 19, 0]), np.array([0, 2]), slice(4, 9)):
        np.testing.assert_array_equal(streamed[positions], kept[positions])

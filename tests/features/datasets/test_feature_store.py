"""The feature store against NumPy: contents, damage (I29), a full disk (I27), what is computed again."""

import hashlib
import resource
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from features.datasets.feature_store import FeatureStore, compute, fingerprint
from features.errors import DataError, ServableError


def names(count: int, start: int = 0) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(start, start + count)]


def filled(folder: Path) -> tuple[FeatureStore, list[str], np.ndarray]:
    """A store of three shards."""
    store = FeatureStore(folder)
    rows = np.random.default_rng(0).normal(size=(30, 4, 3)).astype(np.float32)
    hashes = names(30)
    for start in range(0, 30, 10):
        store.append(hashes[start : start + 10], rows[start : start + 10])
    return store, hashes, rows


def test_rows_come_back_in_any_order(tmp_path: Path) -> None:
    store, hashes, rows = filled(tmp_path)
    order = np.random.default_rng(1).permutation(30)[:17]
    gathered = store.gather([hashes[place] for place in order])
    assert (len(gathered), gathered.shape, gathered.dtype) == (17, (17, 4, 3), np.float32)
    positions = np.array([3, 3, 16, 0])
    np.testing.assert_array_equal(gathered[positions], rows[order][positions])
    assert store.missing([*names(2, 100), hashes[0], *names(1, 100)]) == names(2, 100)
    with pytest.raises(DataError, match="2 examples have no features"):
        store.gather([hashes[0], *names(2, 100)])


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "record cut", "record empty", "record of nothing"])
def test_i29_a_damaged_shard_is_named_and_it_alone_is_made_again(tmp_path: Path, damage: str) -> None:
    store, hashes, _ = filled(tmp_path)
    victim = sorted(tmp_path.glob("*.npy"))[1]
    content = bytearray(victim.read_bytes())
    if damage == "cut":
        victim.write_bytes(content[: -4 * 12])  # at the boundary of a row
    elif damage == "flip":
        content[-1] ^= 1
        victim.write_bytes(content)
    elif damage == "gone":
        victim.unlink()
    else:
        record = victim.with_suffix(".json")
        record.write_bytes(
            {"cut": record.read_bytes()[:40], "empty": b"", "of nothing": b"[]"}[
                damage.removeprefix("record ")
            ]
        )
    kept = {path.name: path.stat().st_ino for path in tmp_path.glob("*.npy") if path != victim}
    assert store.verify() == [str(victim)]
    with pytest.raises(DataError, match=victim.name) as caught:
        store.gather(hashes)
    assert caught.value.exit_code == 65
    assert store.repair() == [str(victim)]
    assert len(store.missing(hashes)) == 10
    assert {path.name: path.stat().st_ino for path in tmp_path.glob("*.npy")} == kept


def test_i27_a_full_disk_leaves_finished_shards_alone(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.append(["a" * 64], np.zeros((1, 10), np.float32))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(ServableError, match="400,000 bytes") as error:
            store.append(["b" * 64], np.zeros((1, 100_000), np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.exit_code == 74
    store = FeatureStore(tmp_path)
    assert (store.missing(["a" * 64, "b" * 64]), store.verify()) == (["b" * 64], [])
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npy"]


def test_compute_does_only_what_is_missing(tmp_path: Path) -> None:
    raws = [bytes([number]) * 4 for number in range(25)]
    hashes = [hashlib.sha256(raw).hexdigest() for raw in raws]
    frame = pd.DataFrame({"sha256": [*hashes, hashes[0]], "raw": [*raws, raws[0]]})
    read: list[bytes] = []

    def fetch(row) -> bytes:
        read.append(row.raw)
        return row.raw

    dataset = SimpleNamespace(frame=frame, read=fetch)

    def stage(batch: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.io.decode_raw(batch, tf.uint8), tf.float32) * 2

    store = FeatureStore(tmp_path)
    store.append(hashes[:5], np.full((5, 4), -1, np.float32))
    assert compute(stage, dataset, store, batch_size=4) == 20
    assert sorted(read) == sorted(raws[5:])
    rows = store.gather(hashes)[np.arange(25)]
    np.testing.assert_array_equal(rows[:5], -1)
    np.testing.assert_array_equal(rows[5:], np.repeat(np.arange(5, 25)[:, None] * 2.0, 4, axis=1))
    assert compute(stage, dataset, store) == 0
    victim = next(tmp_path.glob("*.npy"))
    victim.write_bytes(victim.read_bytes()[:-4])
    assert compute(stage, dataset, store) in (5, 20)
    assert store.verify() == []


def test_a_stage_is_named_by_what_it_computes() -> None:
    def dense(units: int, seed: int, name: str) -> keras.Layer:
        layer = keras.layers.Dense(
            units, kernel_initializer=keras.initializers.GlorotUniform(seed), name=name
        )
        layer.build((None, 3))
        return layer

    base = fingerprint(dense(2, 0, "one"))
    assert fingerprint(dense(2, 0, "two")) == base
    assert fingerprint(dense(2, 1, "one")) != base
    assert fingerprint(dense(3, 0, "one")) != base

"""The place of a process among several, its share of every batch, and the step that joins their results."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from features.datasets import batches
from features.errors import ConfigError
from models.training import cluster
from models.training.cluster import Place
from models.training.settings import TrainingSettings
from models.training.workers import ALONE, Workers, of
from tests.models.training.toy_training import run


@given(st.integers(1, 500), st.integers(1, 8))
def test_shares_make_up_the_batch(size: int, count: int) -> None:
    whole = np.arange(size)
    shares = [whole[Place(index, count).share(size)] for index in range(count)]
    if size < 2 * count:
        assert all(np.array_equal(share, whole) for share in shares)
        return
    np.testing.assert_array_equal(np.concatenate(shares), whole)
    assert min(map(len, shares)) >= 2
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_workers_gather_their_rows_of_the_same_batches() -> None:
    rows, targets = np.arange(50, dtype=np.float32)[:, None], np.arange(50)
    order = batches.epoch_order(50, seed=3, epoch=1)
    made = {
        place: list(batches.batches(rows, targets, batch_size=16, order=order, share=place.share))
        for place in (Place(), Place(0, 2), Place(1, 2))
    }
    for whole, first, second in zip(made[Place()], made[Place(0, 2)], made[Place(1, 2)], strict=True):
        halves = [np.concatenate([first[part], second[part]]) for part in range(3)]
        if len(whole[1]) < 4:
            halves = [half[: len(whole[1])] for half in halves]
        for part in range(3):
            np.testing.assert_array_equal(halves[part], whole[part])


WORKERS = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}


@pytest.mark.parametrize(
    ("members", "own", "place"),
    [
        (WORKERS, ("worker", 0), Place(0, 2)),
        (WORKERS, ("worker", 1), Place(1, 2)),
        ({"chief": ["127.0.0.1:3"], **WORKERS}, ("chief", 0), Place(0, 3)),
        ({"chief": ["127.0.0.1:3"], **WORKERS}, ("worker", 0), Place(1, 3)),
    ],
)
def test_the_place_is_that_of_tf_config(
    members: dict, own: tuple[str, int], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = {"type": own[0], "index": own[1]}
    monkeypatch.setenv(cluster.TF_CONFIG, json.dumps({"cluster": members, "task": task}))
    assert cluster.place() == place
    assert cluster.assists() is (place.index > 0)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}']
)
def test_what_names_no_place_is_refused_where_it_matters(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cluster.TF_CONFIG, text)
    assert not cluster.assists()
    with pytest.raises(ConfigError, match="TF_CONFIG cannot be used"):
        cluster.place()
    assert of(TrainingSettings()) is ALONE


def test_a_worker_whose_results_are_joined_with_nobodys_trains_as_one_alone(tmp_path: Path) -> None:
    network, history = run(tmp_path / "alone", tmp_path / "stores")
    joined = Workers(Place(), tf.distribute.OneDeviceStrategy("/cpu:0"))
    other, epochs = run(tmp_path / "joined", tmp_path / "stores", workers=joined)
    for one, two in zip(network.model.variables, other.model.variables, strict=True):
        np.testing.assert_allclose(two.numpy(), one.numpy(), rtol=1e-3, atol=1e-4)
    for one, two in zip(history.epochs, epochs.epochs, strict=True):
        assert two["metrics"]["loss"] == pytest.approx(one["metrics"]["loss"], rel=1e-3)
        assert two["metrics"].keys() == one["metrics"].keys()


def test_what_the_chief_says_arrives_whatever_its_length() -> None:
    alone = Workers(Place(), tf.distribute.OneDeviceStrategy("/cpu:0"))
    for value in ("", "a", "abc", "abcd", {"ä": [1.5, None]}, list(range(1000))):
        assert alone.agreed(lambda value=value: value) == value

"""T1 to T8: what can go wrong while training, and what is left afterwards."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.datasets import feature_store
from features.errors import ConfigError, DataError
from models.network import Network, Phase
from models.training import determinism, training
from models.training.recovery.failures import OutOfMemoryError
from models.training.recovery.interruption import TrainingInterruptedError
from tests.models import toys
from tests.models.training import toy_training
from tests.models.training.toy_training import CHANGES, ONE_BLOCK, SETTINGS

ROOT = Path(__file__).resolve().parents[2]

run = partial(toy_training.run, model=ONE_BLOCK)


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def uninterrupted(stores, tmp_path_factory):
    """The weights' hash, the history and the checkpoints of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("checkpoints") / "run"
    network, history = run(folder, stores)
    return training.weights_hash(network.model), history, folder


def values(history) -> list[dict]:
    """Return the measurements without the clock's."""
    return [
        {k: v for k, v in row["metrics"].items() if k != "seconds"} | {"epoch": row["epoch"]}
        for row in history.epochs
    ]


class Steps(list):
    """Count training steps; act at one of them."""

    def __init__(self, at: int = 0, act=lambda: None) -> None:
        super().__init__()
        self.at, self.act = at, act

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage.startswith("train"):
            self.append(done)
            if done == self.at:
                self.act()


@pytest.fixture(scope="module")
def interrupted(stores, tmp_path_factory):
    """A training that SIGINT ended at its fourth step and SIGTERM at its ninth: errors, steps, folder."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    errors, steps = [], []
    for number, at in ((signal.SIGINT, 4), (signal.SIGTERM, 9)):
        handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
        steps.append(Steps(at, partial(os.kill, os.getpid(), number)))
        with pytest.raises(TrainingInterruptedError) as error:
            run(folder, stores, progress=steps[-1])
        errors.append(error.value)
        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    return errors, steps, folder


# -- T1 -------------------------------------------------------------------------------------------


def spoilt(stores: Path, folder: Path, data, victim: int) -> Path:
    """Copy the cached features with NaN in one row."""
    phase = toys.network().phases[0]
    name = feature_store.fingerprint(phase.stage)
    hashes = list(data.frame["sha256"])
    rows = feature_store.FeatureStore(stores / name).gather(hashes)[np.arange(len(hashes))]
    rows[victim, 0, 0, 0] = np.nan
    feature_store.FeatureStore(folder / name).append(hashes, rows)
    return folder


def test_t1_nan_names_the_files_of_its_batch_and_keeps_the_last_good_checkpoint(
    stores, uninterrupted, tmp_path
):
    data = toys.dataset()
    features = spoilt(stores, tmp_path / "features", data, victim=5)
    epochs = []
    with pytest.raises(training.TrainingDivergedError) as error:
        run(tmp_path / "run", features, data=data, on_epoch=lambda *row: epochs.append(row))
    assert error.value.exit_code == 65
    message = str(error.value)
    assert "phase train, epoch 1, batch" in message
    assert "loss nan" in message
    assert epochs == []
    order = training.batches.epoch_order(48, seed=0, epoch=0)
    batch = int(np.flatnonzero(order == 5)[0]) // 8
    named = [data.frame["name"][position] for position in order[batch * 8 : batch * 8 + 4]]
    assert f"batch {batch + 1};" in message
    assert all(name in message for name in named)
    assert "and 4 more" in message
    for path in (tmp_path / "run").rglob("*.npz"):
        with np.load(path) as arrays:
            assert all(
                np.isfinite(arrays[name]).all() for name in arrays.files if arrays[name].dtype.kind == "f"
            )
    assert not list((tmp_path / "run").rglob("final.weights"))


def test_t1_exploding_weights_are_found_at_the_latest_when_the_epoch_ends(stores, tmp_path):
    settings = SETTINGS.model_copy(update={"learning_rate": 1e37, "weight_decay": 1e3, "batch_size": 48})
    with pytest.raises(training.TrainingDivergedError, match="weights that are not finite"):
        run(tmp_path, stores, settings=settings, network=toys.network(epochs=1))
    assert not list(tmp_path.rglob("00001-*"))


# -- T2, T3 ---------------------------------------------------------------------------------------


def kill_at(step: int, folder: Path, stores: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.models.training.toy_training",
        str(folder),
        str(stores),
        str(step),
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr[-2000:]


def test_t2_a_training_killed_mid_epoch_ends_with_the_same_weights(stores, uninterrupted, tmp_path):
    kill_at(9, tmp_path, stores)
    steps, told = Steps(), []
    network, history = run(tmp_path, stores, progress=steps, on_epoch=lambda *row: told.append(row[:2]))
    assert steps[0] == 7, "the first epoch of six steps was not repeated"
    assert told == [("train", 1), ("train", 2)], "the epoch before the kill is told again, in order"
    assert training.weights_hash(network.model) == uninterrupted[0]
    assert values(history) == values(uninterrupted[1])


def test_a_finished_training_is_not_repeated(stores, uninterrupted):
    steps = Steps()
    network, history = run(uninterrupted[2], stores, progress=steps)
    assert steps == []
    assert training.weights_hash(network.model) == uninterrupted[0]
    assert values(history) == values(uninterrupted[1])


@pytest.mark.parametrize("damage", ["cut", "emptied", "gone", "flipped"])
def test_t3_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    stores, uninterrupted, interrupted, tmp_path, damage, caplog
):
    shutil.copytree(interrupted[2], tmp_path, dirs_exist_ok=True)
    newest = sorted((tmp_path / "train").glob("*.npz"))[-1]
    assert newest.name == "00001-0000003.npz"
    content = newest.read_bytes()
    if damage == "cut":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        newest.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    elif damage == "gone":
        newest.unlink()
    else:
        newest.with_suffix(".json").write_bytes(b"")
    # What a kill between writing and renaming leaves.
    (tmp_path / "train" / ".00001-0000004.npz.4711").write_bytes(content[:100])
    with caplog.at_level(logging.WARNING):
        network, _ = run(tmp_path, stores)
    assert "00001-0000003.json cannot be used" in caplog.text
    assert training.weights_hash(network.model) == uninterrupted[0]


# -- T4 -------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("tests")
class Greedy(keras.layers.Layer):
    """Find no memory for a batch of more than some examples: in truth, or by saying so.

    In truth takes ten seconds each time: TensorFlow waits for others to free some.
    """

    def __init__(self, most: int, truly: bool = False, **options) -> None:
        super().__init__(**options)
        self.most, self.truly = most, truly

    def call(self, inputs, training=False):
        if not training:
            return inputs
        if self.truly:
            size = tf.where(tf.shape(inputs)[0] > self.most, tf.constant(2**46, tf.int64), 1)
            # Depends on the inputs, so that nothing is optimised away; adds nothing.
            return inputs + 0.0 * tf.reduce_max(tf.cumsum(tf.fill([size], inputs[0, 0, 0, 0])))
        with tf.control_dependencies([tf.py_function(self._allocate, [tf.shape(inputs)[0]], [])]):
            return tf.identity(inputs)

    def _allocate(self, size):
        if int(size) > self.most:
            raise MemoryError

    def get_config(self):
        return super().get_config() | {"most": self.most, "truly": self.truly}


def greedy(most: int, truly: bool = False) -> Network:
    determinism.fix(0)
    small = toys.network(ONE_BLOCK)
    inputs = keras.Input(small.featurizer.spec.shape)
    model = keras.Model(inputs, small.model(Greedy(most, truly)(inputs)))
    phase = Phase("train", small.phases[0].stage, model, None, 2)
    return Network(small.featurizer, model, small.embed, (phase,))


def test_t4_out_of_memory_names_batch_and_remedy(stores, tmp_path):
    with pytest.raises(OutOfMemoryError) as error:
        run(tmp_path, stores, network=greedy(4, truly=True))
    assert error.value.exit_code == 74
    for part in ("epoch 1, batch 1", "batches of 8", "training.batch_size=4", "training.auto_batch=true"):
        assert part in str(error.value)


AUTO = SETTINGS.model_copy(update={"auto_batch": True})


@pytest.fixture(scope="module")
def halved(stores, tmp_path_factory):
    """The weights' hash, the history and the steps of a training that has memory for half its batch."""
    steps = Steps()
    folder = tmp_path_factory.mktemp("halved")
    network, history = run(folder, stores, network=greedy(4), settings=AUTO, progress=steps)
    return training.weights_hash(network.model), history, steps


def test_t4_auto_batch_goes_on_with_half_the_batch_once(stores, halved, tmp_path, caplog):
    _, history, steps = halved
    assert len(steps) == 2 * 12
    assert history.epochs[-1]["metrics"]["learning_rate"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(OutOfMemoryError, match="batches of 4"):
        run(tmp_path, stores, network=greedy(3), settings=AUTO)
    assert "going on with batches of 4" in caplog.text


def test_t4_a_halved_training_resumes_halved(stores, halved, tmp_path):
    interrupt = Steps(15, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingInterruptedError, match="epoch 2, step 3 of 12"):
        run(tmp_path, stores, network=greedy(4), settings=AUTO, progress=interrupt)
    # Now there would be memory, and still the training goes on as it was.
    resumed, _ = run(tmp_path, stores, network=greedy(4), settings=AUTO)
    assert training.weights_hash(resumed.model) == halved[0]


# -- T5 -------------------------------------------------------------------------------------------


def outcome(folder: Path, stores: Path, **more) -> tuple[str, list[dict]]:
    """Train, and return the weights' hash and the measurements."""
    network, history = run(folder, stores, **more)
    return training.weights_hash(network.model), values(history)


@pytest.fixture(scope="module")
def other(stores, tmp_path_factory):
    """The weights' hash and the checkpoints of a training with another seed."""
    folder = tmp_path_factory.mktemp("other") / "run"
    return outcome(folder, stores, seed=1)[0], folder


def test_t5_the_same_seed_gives_the_same_weights(stores, uninterrupted, tmp_path):
    assert SETTINGS.towers == 1
    assert outcome(tmp_path, stores) == (uninterrupted[0], values(uninterrupted[1]))


def test_t5_the_same_seed_gives_several_towers_the_same_weights(stores, uninterrupted, tmp_path):
    settings = SETTINGS.model_copy(update={"towers": 3})
    first, second = (outcome(tmp_path / name, stores, settings=settings) for name in ("first", "second"))
    assert first == second
    assert first[0] != uninterrupted[0]


def test_t5_another_seed_gives_other_weights(uninterrupted, other):
    assert other[0] != uninterrupted[0]


# -- T6 -------------------------------------------------------------------------------------------


def test_t6_other_settings_data_or_models_are_refused_by_name(stores, uninterrupted, tmp_path):
    folder = uninterrupted[2]
    cases = {
        "batch_size 8 -> 16": {"settings": SETTINGS.model_copy(update={"batch_size": 16})},
        "seed 0 -> 3": {"seed": 3},
        "dataset toy-48-None -> toy-40-None": {"data": toys.dataset(train=40)},
        "phase train": {"network": toys.network({**ONE_BLOCK, "dropout": 0.3}, **CHANGES)},
    }
    for named, change in cases.items():
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(ConfigError, match="start over with --restart") as error:
            run(folder, stores, **change)
        assert error.value.exit_code == 78
        assert named in str(error.value)
        assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_t6_restart_begins_anew(stores, uninterrupted, other, tmp_path):
    shutil.copytree(other[1], tmp_path, dirs_exist_ok=True)
    assert json.loads((tmp_path / "settings.json").read_text())["seed"] == 1
    steps = Steps()
    network, _ = run(tmp_path, stores, restart=True, progress=steps)
    assert steps[0] == 1
    assert training.weights_hash(network.model) == uninterrupted[0]
    assert json.loads((tmp_path / "settings.json").read_text())["seed"] == 0


# -- T7 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [2, -1])
def test_t7_a_target_out_of_range_is_found_before_the_first_epoch(stores, tmp_path, target):
    steps = Steps()
    with pytest.raises(DataError, match=rf"blue/000\.png; got {target}; expected 0 to 1") as error:
        run(tmp_path, stores, data=toys.dataset(label_of_first=target), progress=steps)
    assert error.value.exit_code == 65
    assert steps == []


def test_t7_features_of_another_shape_are_found_before_the_first_epoch(stores, tmp_path):
    small, other = toys.network(), toys.network(size=16)
    phase = Phase("train", small.phases[0].stage, other.model, None, 1)
    mixed = Network(small.featurizer, other.model, other.embed, (phase,))
    with pytest.raises(
        DataError, match=r"got float32 of shape \[8, 8, 3\]; expected float32 of shape \[16, 16"
    ):
        run(tmp_path, stores, network=mixed)


def test_t7_an_empty_training_split(stores, tmp_path):
    with pytest.raises(DataError, match="nothing to train on"):
        run(tmp_path, stores, data=toys.dataset(train=0))


# -- T8 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "code", "where", "steps"),
    [(0, 130, "epoch 1, step 4 of 6", [1, 2, 3, 4]), (1, 143, "epoch 2, step 3 of 6", [5, 6, 7, 8, 9])],
    ids=["SIGINT", "SIGTERM"],
)
def test_t8_a_signal_ends_at_the_next_step(interrupted, place, code, where, steps):
    errors, told, _ = interrupted
    assert errors[place].exit_code == code
    assert f"phase train, {where}" in str(errors[place])
    assert told[place] == steps, "not a step is lost"


def test_t8_signals_leave_clean_checkpoints(stores, uninterrupted, interrupted, tmp_path):
    shutil.copytree(interrupted[2], tmp_path, dirs_exist_ok=True)
    again = Steps()
    network, history = run(tmp_path, stores, progress=again)
    assert again[0] == 10, "not a step is lost"
    assert training.weights_hash(network.model) == uninterrupted[0]
    assert values(history) == values(uninterrupted[1])


SECOND_SIGNAL = """
import os, signal, sys
from models.training.recovery.interruption import listening
with listening() as bell:
    os.kill(os.getpid(), int(sys.argv[1]))
    print("first", bell.rung, flush=True)
    os.kill(os.getpid(), int(sys.argv[1]))
    print("never", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_t8_a_second_signal_ends_the_process_at_once(number):
    ended = subprocess.run(
        [sys.executable, "-c", SECOND_SIGNAL, str(int(number))],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.stdout == f"first {int(number)}\n"
    assert ended.returncode == -number

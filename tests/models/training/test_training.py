"""The training step against Keras's own and NumPy; checkpoints; early stopping."""

import resource
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.errors import StorageError
from features.storage import files
from models.objective import CLASSIFICATION
from models.training import determinism, training
from models.training.recovery import checkpoint
from models.training.settings import TrainingSettings
from models.training.step import measure_step, train_step
from tests.models import toys
from tests.models.training.toy_training import SETTINGS, run

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(10, 4)).astype(np.float32)
TARGETS = RANDOM.integers(0, 3, 10).astype(np.int32)
WEIGHTS = RANDOM.random(10).astype(np.float32)


def affine(penalty: float = 0.0) -> keras.Model:
    regularizer = keras.regularizers.L2(penalty) if penalty else None
    layer = keras.layers.Dense(3, kernel_regularizer=regularizer)
    model = keras.Sequential([keras.Input((4,)), layer])
    layer.set_weights([np.linspace(-1, 1, 12).reshape(4, 3), np.array([0.1, 0.0, -0.1])])
    return model


def gradient(weights: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return losses and gradients of softmax regression in closed form."""
    kernel, bias = np.linspace(-1, 1, 12).reshape(4, 3), np.array([0.1, 0.0, -0.1])
    logits = INPUTS @ kernel + bias
    scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    losses = -np.log(scores[np.arange(10), TARGETS])
    error = (scores - np.eye(3)[TARGETS]) * weights[:, None] / 10
    return losses, INPUTS.T @ error + 2 * penalty * kernel, error.sum(0)


@pytest.mark.parametrize("towers", [1, 2, 3])
@pytest.mark.parametrize("penalty", [0.0, 0.1])
def test_one_step_is_the_closed_form_for_any_number_of_towers(towers, penalty):
    model = affine(penalty)
    before = [w.copy() for w in model.get_weights()]
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    settings = TrainingSettings(towers=towers)
    step = train_step(model, optimizer, CLASSIFICATION.measured_loss, CLASSIFICATION, settings)
    sums = step(tf.constant(INPUTS), tf.constant(TARGETS), tf.constant(WEIGHTS))
    losses, kernel, bias = gradient(WEIGHTS, penalty)
    np.testing.assert_allclose(model.get_weights()[0], before[0] - 0.5 * kernel, atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[1], before[1] - 0.5 * bias, atol=1e-5)
    assert float(sums["loss"]) == pytest.approx((losses * WEIGHTS).sum(), rel=1e-5)
    assert float(sums["weight"]) == pytest.approx(WEIGHTS.sum(), rel=1e-6)


def test_a_step_is_traced_once_for_batches_of_any_size():
    model, traced = affine(), []
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    plain = CLASSIFICATION.measured_loss

    def loss(targets, outputs):
        traced.append(targets.shape)
        return plain(targets, outputs)

    step = train_step(model, optimizer, loss, CLASSIFICATION, TrainingSettings(towers=1))
    weights = [step(INPUTS[:rows], TARGETS[:rows], WEIGHTS[:rows])["weight"] for rows in (10, 4, 7)]
    assert [shape.as_list() for shape in traced] == [[None]]
    np.testing.assert_allclose(weights, [WEIGHTS[:rows].sum() for rows in (10, 4, 7)], rtol=1e-6)


def test_clipping_bounds_the_global_norm_and_counts():
    model = affine()
    before = [w.copy() for w in model.get_weights()]
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.build(model.trainable_variables)
    step = train_step(
        model, optimizer, CLASSIFICATION.measured_loss, CLASSIFICATION, TrainingSettings(clip_norm=0.01)
    )
    sums = step(tf.constant(INPUTS), tf.constant(TARGETS), tf.constant(WEIGHTS))
    moved = [b - a for a, b in zip(model.get_weights(), before, strict=True)]
    assert np.sqrt(sum((m.astype(float) ** 2).sum() for m in moved)) == pytest.approx(0.01, rel=1e-3)
    _, kernel, _ = gradient(WEIGHTS, 0.0)
    np.testing.assert_allclose(
        moved[0] / np.linalg.norm(moved[0]), kernel / np.linalg.norm(kernel), atol=1e-4
    )
    assert (float(sums["clipped"]), float(sums["steps"])) == (1.0, 1.0)


def test_a_batch_too_small_to_be_divided_is_trained_whole():
    model = affine()
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    step = train_step(
        model, optimizer, CLASSIFICATION.measured_loss, CLASSIFICATION, TrainingSettings(towers=4)
    )
    step(tf.constant(INPUTS[:1]), tf.constant(TARGETS[:1]), tf.constant(WEIGHTS[:1]))
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_measuring_is_a_weighted_sum_and_moves_nothing():
    model = affine()
    before = [w.copy() for w in model.get_weights()]
    measured = measure_step(model, CLASSIFICATION.measured_loss, CLASSIFICATION)(
        *map(tf.constant, (INPUTS, TARGETS, WEIGHTS))
    )
    logits = INPUTS @ before[0] + before[1]
    assert float(measured["accuracy"]) == pytest.approx(((logits.argmax(-1) == TARGETS) * WEIGHTS).sum())
    assert float(measured["loss"]) == pytest.approx((gradient(WEIGHTS, 0)[0] * WEIGHTS).sum(), rel=1e-5)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


# -- the loop -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def plain(stores, tmp_path_factory):
    """A network and its history, as the toys are trained where nothing is said."""
    return run(tmp_path_factory.mktemp("plain"), stores)


def validated(network) -> dict[str, float]:
    """Measure a network on the validation examples by NumPy, from its logits."""
    frame = toys.dataset().frame
    validation = frame[frame["split"] == "validation"]
    logits = network.model(network.featurizer(tf.constant(list(validation["content"])))).numpy()
    targets = validation["target"].to_numpy()
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    losses = -np.log(shares[np.arange(len(targets)), targets])
    accuracy = (logits.argmax(-1) == targets).mean()
    return {"accuracy": pytest.approx(accuracy), "loss": pytest.approx(losses.mean(), rel=1e-5)}


def test_metrics_of_an_epoch_are_those_of_the_final_weights(plain):
    network, history = plain
    metrics = history.epochs[-1]["metrics"]
    assert history.validation == validated(network)
    assert {name: metrics[f"validation_{name}"] for name in ("accuracy", "loss")} == validated(network)
    measured = {"accuracy", "loss", "validation_accuracy", "validation_loss"}
    assert set(metrics) == measured | {"learning_rate", "seconds", "clipped_share"}


def test_a_tiny_network_learns_what_there_is_to_learn(stores, tmp_path):
    _, history = run(tmp_path, stores, network=toys.network(epochs=12))
    assert history.epochs[-1]["metrics"]["validation_accuracy"] >= 0.9


def test_early_stopping_keeps_the_best_weights(stores, tmp_path):
    settings = SETTINGS.model_copy(update={"patience": 2, "learning_rate": 0.05, "schedule": "constant"})
    network, history = run(tmp_path, stores, settings=settings, network=toys.network(epochs=40))
    accuracies = [row["metrics"]["validation_accuracy"] for row in history.epochs]
    assert len(accuracies) < 40
    best = max(accuracies)
    assert len(accuracies) == accuracies.index(best) + 3
    assert history.validation == validated(network)
    assert history.validation["accuracy"] == pytest.approx(best)


def test_what_is_calibrated_is_measured_anew(stores, tmp_path):
    network = toys.network()
    shift = np.float32([3.0, 0.0])

    def calibrate(batches):
        bias = network.model.trainable_variables[-1]
        bias.assign(bias + shift * len(batches))

    network, history = run(tmp_path, stores, network=replace(network, calibrate=calibrate))
    assert history.validation == validated(network)
    assert history.validation["loss"] > history.epochs[-1]["metrics"]["validation_loss"] + 0.1


def test_what_is_fitted_to_validation_as_well_is_measured_before(stores, tmp_path):
    network, targets = toys.network(), []

    def settle(batches):
        targets.extend(target for _, classes in batches for target in classes)
        network.model.trainable_variables[-1].assign([9.0, 0.0])

    trained, history = run(tmp_path, stores, network=replace(network, settle=settle))
    assert len(targets) == toys.dataset().size("train") + toys.dataset().size("validation")
    last = history.epochs[-1]["metrics"]
    assert history.validation["loss"] == pytest.approx(last["validation_loss"])
    assert history.validation != validated(trained)


def test_training_without_validation_examples(stores, tmp_path):
    network = replace(toys.network(), settle=lambda batches: pytest.fail("there is nothing to add"))
    _, history = run(tmp_path, stores, data=toys.dataset(validation=0), network=network)
    assert not [name for name in history.epochs[-1]["metrics"] if name.startswith("validation")]
    assert history.validation == {}


# -- checkpoints ----------------------------------------------------------------------------------


def variables(value: float) -> list[keras.Variable]:
    return [keras.Variable(np.full((2, 3), value)), keras.Variable(np.arange(4), dtype="int64")]


def test_checkpoints_keep_the_newest_two_and_give_them_back(tmp_path):
    kept = checkpoint.Checkpoints(tmp_path)
    for epoch in range(4):
        kept.save((epoch, 0), variables(epoch), {"epoch": epoch})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00002-0000000.json", "00002-0000000.npz", "00003-0000000.json", "00003-0000000.npz"
    ]  # fmt: skip
    target = variables(-1)
    assert kept.restore(target)["epoch"] == 3
    np.testing.assert_array_equal(target[0].numpy(), np.full((2, 3), 3))


def test_named_weights_are_verified(tmp_path):
    kept = checkpoint.Checkpoints(tmp_path)
    assert not kept.take("best", variables(0))
    kept.keep("best", variables(7))
    target = variables(0)
    assert kept.take("best", target)
    np.testing.assert_array_equal(target[0].numpy(), np.full((2, 3), 7))
    path = tmp_path / "best.weights"
    path.write_bytes(path.read_bytes()[:-1] + b"\0\1")
    assert not kept.take("best", target)


def test_arrays_of_another_model_are_refused():
    content = checkpoint.arrays_of(variables(1))
    with pytest.raises(ValueError, match="do not fit"):
        checkpoint.assign_arrays(content, variables(1)[:1])


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match="cannot write") as error:
            files.write_file(tmp_path / "run" / "1.npz", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.exit_code == 74
    assert list((tmp_path / "run").iterdir()) == []


def test_the_hash_of_weights_is_equal_for_equal_weights_alone():
    one, two = affine(), affine()
    assert training.weights_hash(one) == training.weights_hash(two)
    two.trainable_variables[0].assign_add(np.full((4, 3), 1e-7))
    assert training.weights_hash(one) != training.weights_hash(two)


def test_a_small_split_is_passed_over_until_there_are_enough_steps(tmp_path, stores, plain):
    data = toys.dataset()
    steps = -(-int((data.frame["split"] == "train").sum()) // SETTINGS.batch_size)
    planned = len(plain[1].epochs)
    longer = SETTINGS.model_copy(update={"min_steps": (planned + 1) * steps + 1})
    _, history = run(tmp_path / "longer", stores, data=data, settings=longer, network=toys.network())
    assert len(history.epochs) == planned + 2
    # The schedule ends with the last step, not with the epochs that were planned.
    assert (
        history.epochs[-1]["metrics"]["learning_rate"]
        < history.epochs[planned - 1]["metrics"]["learning_rate"]
    )


def test_the_weights_of_the_last_epochs_are_averaged_however_often_a_training_stops(tmp_path, stores):
    settings = SETTINGS.model_copy(update={"average": 3})

    def trained(folder, **more):
        determinism.fix(0)
        return run(tmp_path / folder, stores, network=toys.network(epochs=5), settings=settings, **more)

    network, history = trained("whole")
    folder = next((tmp_path / "whole").glob("*/final.weights")).parent
    assert len(history.epochs) == 5
    assert sorted(path.stem for path in folder.glob("epoch-*")) == ["epoch-3", "epoch-4", "epoch-5"]
    values, other = [], toys.network(epochs=5)
    for path in sorted(folder.glob("epoch-*")):
        checkpoint.assign_arrays(path.read_bytes()[32:], other.model.variables)
        values.append([np.array(np.asarray(variable)) for variable in other.model.trainable_variables])
    for found, *epochs in zip(network.model.trainable_variables, *values, strict=True):
        np.testing.assert_allclose(found, np.mean(epochs, axis=0), rtol=1e-6)
    assert history.validation == validated(network)
    assert history.validation["loss"] != history.epochs[-1]["metrics"]["validation_loss"]

    def stop(stage, done, total):
        if stage.startswith("train") and done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained("parts", progress=stop)
    again, resumed = trained("parts")
    assert resumed.validation == history.validation
    assert training.weights_hash(again.model) == training.weights_hash(network.model)

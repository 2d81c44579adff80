"""What trains in which mode, and that cached features give what the whole network gives."""

import numpy as np
import pytest
import tensorflow as tf

from features.datasets import feature_store
from features.errors import ConfigError
from features.images.augmentation import AugmentationSettings
from models import tasks
from models.evaluation import inference
from models.tasks.image_classification import IMAGE_CLASSIFICATION as TASK
from models.training import determinism, training
from models.training.examples import group_weights
from tests.models import toys
from tests.models.training.toy_training import SETTINGS, run


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return toys.save_module(tmp_path_factory.mktemp("hub") / "toy")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


def hub(module, mode: str, **more) -> dict:
    return {
        "kind": "hub",
        "backbone": str(module),
        "mode": mode,
        "dropout": 0.1,
        "fine_tune_epochs": 2,
    } | more


def weights(variables) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables]


def moved(before, variables) -> list[bool]:
    return [bool((was != now.numpy()).any()) for was, now in zip(before, variables, strict=True)]


def test_scratch_is_one_phase_in_which_everything_trains(stores, tmp_path):
    network = toys.network()
    assert [phase.name for phase in network.phases] == ["train"]
    before = weights(network.model.trainable_variables)
    run(tmp_path, stores, network=network)
    assert all(moved(before, network.model.trainable_variables))


def test_frozen_trains_the_head_on_cached_vectors(module, stores, tmp_path):
    network = toys.network(hub(module, "frozen"))
    (phase,) = network.phases
    assert phase.model.input_shape == (None, 6)
    backbone, head = weights(network.embed.variables), weights(phase.model.trainable_variables)
    run(tmp_path, stores, network=network)
    assert not any(moved(backbone, network.embed.variables))
    assert all(moved(head, phase.model.trainable_variables))


def test_frozen_with_augmentation_runs_the_backbone_each_epoch_unchanged(module, stores, tmp_path):
    network = toys.network(hub(module, "frozen"), flip="horizontal")
    (phase,) = network.phases
    assert phase.model.input_shape == (None, 8, 8, 3)
    assert len(phase.model.trainable_variables) == 2
    backbone = weights(network.embed.variables)
    run(tmp_path, stores, network=network)
    assert not any(moved(backbone, network.embed.variables))


@pytest.mark.parametrize("batch_norm", ["inference", "training"])
def test_fine_tune_trains_the_head_first_and_then_everything(module, stores, tmp_path, batch_norm):
    network = toys.network(hub(module, "fine-tune", batch_norm=batch_norm, fine_tune_learning_rate=1e-3))
    head, whole = network.phases
    assert [head.name, whole.name] == ["head", "fine-tune"]
    assert (head.epochs, whole.epochs, whole.learning_rate) == (2, 2, 1e-3)
    assert head.augmentation is None
    backbone = weights(network.embed.variables)
    states = []
    _, history = run(
        tmp_path, stores, network=network,
        on_epoch=lambda *row: states.append(moved(backbone, network.embed.variables)),
    )  # fmt: skip
    # Kernel and scale are trainable, the moving mean is not.
    assert states[:2] == [[False] * 3] * 2
    assert states[-1] == [True, True, batch_norm == "training"]
    assert [row["phase"] for row in history.epochs] == ["head"] * 2 + ["fine-tune"] * 2
    assert [row["epoch"] for row in history.epochs] == [1, 2, 3, 4]
    assert max(row["metrics"]["learning_rate"] for row in history.epochs[2:]) <= 1e-3


def test_fine_tuning_that_spoils_the_head_is_left_out(module, stores, tmp_path, caplog):
    network = toys.network(hub(module, "fine-tune", fine_tune_learning_rate=30.0))
    backbone, heads = weights(network.embed.variables), []

    def after(phase, epoch, metrics):
        if phase == "head":
            heads.append((epoch, metrics["validation_accuracy"]))

    settings = SETTINGS.model_copy(update={"optimizer": "lbfgs"})
    _, history = run(tmp_path, stores, network=network, settings=settings, on_epoch=after)
    before, end = heads[-1][1], history.epochs[-1]["metrics"]["validation_accuracy"]
    assert end < before
    assert history.validation["accuracy"] == before
    assert "phase fine-tune is left out" in caplog.text
    assert not any(moved(backbone, network.embed.variables))
    # The head is the one that was chosen on validation.
    scores = [accuracy for _, accuracy in heads]
    assert before == max(scores)


def test_a_linear_head_is_solved_and_the_rest_is_trained_by_steps(module, stores, tmp_path, caplog):
    settings = SETTINGS.model_copy(update={"optimizer": "lbfgs"})
    network = toys.network(hub(module, "fine-tune", fine_tune_learning_rate=1e-3))
    backbone = weights(network.embed.variables)
    _, history = run(tmp_path, stores, network=network, settings=settings)
    head = [row["metrics"] for row in history.epochs if row["phase"] == "head"]
    assert head[-1]["validation_loss"] == min(each["validation_loss"] for each in head)
    assert len([row for row in history.epochs if row["phase"] == "fine-tune"]) == 2
    assert any(moved(backbone, network.embed.variables)) or "left out" in caplog.text


def test_fine_tuning_killed_in_its_second_phase_ends_the_same(module, stores, tmp_path):
    recipe = hub(module, "fine-tune", fine_tune_learning_rate=1e-3)

    def built():
        determinism.fix(0)
        return toys.network(recipe)

    whole, _ = run(tmp_path / "whole", stores, network=built())

    def stop(stage, done, total):
        if stage == "train: fine-tune" and done == 8:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(tmp_path / "cut", stores, network=built(), progress=stop)
    resumed, history = run(tmp_path / "cut", stores, network=built())
    assert training.weights_hash(resumed.model) == training.weights_hash(whole.model)
    assert len(history.epochs) == 4


def test_cached_vectors_equal_direct_ones(module, stores):
    network, data = toys.network(hub(module, "frozen")), toys.dataset()
    training.featurize(network, data, stores)
    hashes = list(data.frame["sha256"][:20])
    rows = feature_store.FeatureStore(stores / feature_store.fingerprint(network.phases[0].stage)).gather(
        hashes
    )
    raws = tf.constant(list(data.frame["content"][:20]))
    np.testing.assert_allclose(rows[np.arange(20)], network.embed(network.featurizer(raws)), atol=1e-6)


@pytest.mark.parametrize("mode", ["frozen", "fine-tune"])
def test_answers_from_the_cache_are_those_of_the_whole_network(module, stores, mode):
    network, data = toys.network(hub(module, mode)), toys.dataset()
    training.featurize(network, data, stores)
    outputs = inference.outputs(network, TASK, toys.LABELS, data.frame.head(30), stores, batch_size=7)
    pixels = network.featurizer(tf.constant(list(data.frame["content"][:30])))
    expected = TASK.decode(network.model(pixels), toys.LABELS)
    np.testing.assert_allclose(outputs["scores"], expected["scores"], atol=1e-6)
    np.testing.assert_array_equal(outputs["label"], expected["label"])


def test_stages_are_named_by_what_they_compute(module, tmp_path):
    name = feature_store.fingerprint(toys.network(hub(module, "frozen")).phases[0].stage)
    assert name == feature_store.fingerprint(toys.network(hub(module, "frozen", dropout=0.3)).phases[0].stage)
    other = toys.save_module(tmp_path / "other", width=7)
    assert name != feature_store.fingerprint(toys.network(hub(other, "frozen")).phases[0].stage)
    assert name != feature_store.fingerprint(toys.network(hub(module, "frozen"), flip="both").phases[0].stage)


def test_class_weights_and_balanced_sampling_even_out_classes():
    targets = np.array([0] * 30 + [1] * 10)
    weights = group_weights(targets, "weights")
    np.testing.assert_allclose(weights, [40 / 60, 40 / 20])
    assert weights[targets].mean() == pytest.approx(1)
    softened = group_weights(targets, "weights", 0.5)
    assert softened[1] / softened[0] == pytest.approx(3**0.5)
    assert softened[targets].mean() == pytest.approx(1)
    assert group_weights(targets, "none") is None
    order = training.batches.epoch_order(40, seed=0, epoch=0, groups=targets, balanced=True)
    assert np.bincount(targets[order]).tolist() == [20, 20]


@pytest.mark.parametrize("balance", ["weights", "sampling", "logits"])
def test_balance_is_obeyed_in_training(stores, tmp_path, balance):
    settings = SETTINGS.model_copy(update={"balance": balance})
    _, history = run(tmp_path, stores, settings=settings, network=toys.network())
    assert np.isfinite(history.epochs[-1]["metrics"]["loss"])


def test_the_registry_names_the_known_tasks():
    assert tasks.find("image-classification") is TASK
    with pytest.raises(ConfigError, match=r"no such task; got poetry; .*image-classification"):
        tasks.find("poetry")


def test_augmentation_is_off_unless_asked_for():
    assert toys.network().phases[0].augmentation is None
    assert toys.network(flip="both").phases[0].augmentation.settings == AugmentationSettings(flip="both")

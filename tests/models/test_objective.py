"""Loss, metrics and learning rates against NumPy and closed forms."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import accuracy_score, log_loss

from models.export import decoding
from models.objective import (
    CLASSIFICATION,
    absolute_error,
    adjusted,
    cross_entropy,
    hit,
    huber,
    scaled,
    squared_error,
)
from models.training.examples import class_offsets
from models.training.settings import TrainingSettings, learning_rate, optimizer

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 3, (40, 5)).astype(np.float32)
TARGETS = RANDOM.integers(0, 5, 40).astype(np.int32)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_cross_entropy_is_sklearns_log_loss():
    losses = cross_entropy(0.0)(tf.constant(TARGETS), tf.constant(LOGITS)).numpy()
    assert losses.shape == (40,)
    assert losses.mean() == pytest.approx(log_loss(TARGETS, softmax(LOGITS), labels=range(5)), rel=1e-6)


def test_label_smoothing_spreads_a_share_of_the_target():
    smooth = 0.1
    wanted = np.eye(5)[TARGETS] * (1 - smooth) + smooth / 5
    expected = -(wanted * np.log(softmax(LOGITS))).sum(-1)
    losses = cross_entropy(smooth)(tf.constant(TARGETS), tf.constant(LOGITS))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_hit_averages_to_sklearns_accuracy():
    hits = hit(tf.constant(TARGETS), tf.constant(LOGITS)).numpy()
    assert hits.mean() == pytest.approx(accuracy_score(TARGETS, LOGITS.argmax(-1)))


def test_offsets_take_the_class_sizes_out_of_what_is_learnt():
    """With no input to tell classes apart, the best logits are those that leave the adjusted shares alone."""
    targets = np.repeat([0, 1, 2], [90, 9, 1])
    offsets = class_offsets(targets, keras.Sequential([keras.Input((1,)), keras.layers.Dense(3)]), "logits")
    loss = adjusted(cross_entropy(0.0), offsets)
    even = float(tf.reduce_mean(loss(tf.constant(targets), tf.zeros((100, 3)))))
    assert even == pytest.approx(log_loss(targets, np.tile([0.9, 0.09, 0.01], (100, 1)), labels=range(3)))
    assert adjusted(loss, None) is loss


def test_better_follows_direction_and_margin():
    assert CLASSIFICATION.better(0.1, None)
    assert CLASSIFICATION.better(0.52, 0.5, 0.01)
    assert not CLASSIFICATION.better(0.505, 0.5, 0.01)
    assert not CLASSIFICATION.better(0.5, 0.5)


def test_decoded_outputs():
    labels = ("a", "b", "c", "d", "\N{SNOWMAN}")
    outputs = {name: value.numpy() for name, value in decoding.classes(tf.constant(LOGITS), labels).items()}
    np.testing.assert_allclose(outputs["scores"], softmax(LOGITS), atol=1e-6)
    assert [one.decode() for one in outputs["label"]] == [labels[best] for best in LOGITS.argmax(-1)]
    assert outputs["labels"].shape == (40, 5)


# -- learning rates -------------------------------------------------------------------------------


def rates(steps: int = 100, **settings) -> list[float]:
    schedule = learning_rate(TrainingSettings(**settings), 0.1, steps)
    return [float(schedule(step)) if callable(schedule) else schedule for step in range(steps + 1)]


def test_cosine_falls_from_the_highest_to_zero():
    expected = 0.05 * (1 + np.cos(np.pi * np.arange(101) / 100))
    np.testing.assert_allclose(rates(schedule="cosine"), expected, atol=1e-7)


def test_warmup_climbs_from_zero_and_then_falls():
    values = rates(schedule="cosine", warmup=0.2)
    np.testing.assert_allclose(values[:21], np.linspace(0, 0.1, 21), atol=1e-7)
    np.testing.assert_allclose(values[20:], 0.05 * (1 + np.cos(np.pi * np.arange(81) / 80)), atol=1e-7)


@pytest.mark.parametrize("schedule", ["constant", "exponential"])
def test_every_schedule_warms_up(schedule):
    values = rates(schedule=schedule, warmup=0.2)
    np.testing.assert_allclose(values[:21], np.linspace(0, 0.1, 21), atol=1e-7)
    after = 0.1 * (0.01 ** (np.arange(81) / 80) if schedule == "exponential" else np.ones(81))
    np.testing.assert_allclose(values[20:], after, rtol=1e-5)


def test_exponential_leaves_a_hundredth():
    np.testing.assert_allclose(rates(schedule="exponential"), 0.1 * 0.01 ** (np.arange(101) / 100), rtol=1e-5)


def test_constant_stays():
    assert set(rates(schedule="constant")) == {0.1}


# -- optimizers -----------------------------------------------------------------------------------


def one_step(name: str, gradient: float, **settings) -> float:
    variable = keras.Variable(2.0)
    made = optimizer(TrainingSettings(optimizer=name, schedule="constant", **settings), 0.1, 10)
    made.apply([tf.constant(gradient)], [variable])
    return float(variable.numpy())


def test_first_steps_of_the_optimizers():
    # Adam's first step is the rate in the gradient's direction; Nesterov's is (1 + momentum) times SGD's.
    assert one_step("adam", 0.5) == pytest.approx(2 - 0.1, abs=1e-5)
    assert one_step("sgd", 0.5) == pytest.approx(2 - 0.1 * 0.5 * 1.9, abs=1e-6)
    # Decoupled decay: the weight loses rate times decay of itself (Loshchilov and Hutter 2019).
    assert one_step("adamw", 0.5, weight_decay=0.2) == pytest.approx(2 * (1 - 0.1 * 0.2) - 0.1, abs=1e-5)


def test_no_weight_decay_is_none_for_every_optimizer():
    for name in ("adam", "adamw", "sgd"):
        assert one_step(name, 0.0) == pytest.approx(2.0, abs=1e-6), name


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"warmup": 1.0}, {"optimizer": "rmsprop"}, {"clip_norm": 0}, {"towers": 0}, {"x": 1}],
)
def test_settings_refuse_what_makes_no_sense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingSettings(**wrong)


def test_errors_of_numbers_are_those_of_keras() -> None:
    random = np.random.default_rng(0)
    targets, outputs = random.normal(0, 2, (2, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(
        squared_error(targets, outputs), keras.losses.mean_squared_error(targets, outputs), rtol=1e-5
    )
    np.testing.assert_allclose(
        absolute_error(targets, outputs), keras.losses.mean_absolute_error(targets, outputs), rtol=1e-5
    )
    np.testing.assert_allclose(
        huber(0.7)(targets, outputs), 2 * keras.losses.huber(targets, outputs, delta=0.7), rtol=1e-5
    )


def test_a_scaled_loss_is_that_of_standardised_numbers() -> None:
    random = np.random.default_rng(1)
    targets, outputs = random.normal(0, 50, (2, 12, 2)).astype(np.float32)
    scale = np.array([50, 0.1], np.float32)
    np.testing.assert_allclose(
        scaled(squared_error, scale)(targets, outputs),
        squared_error(targets / scale, outputs / scale),
        rtol=1e-5,
    )
    assert scaled(squared_error, None) is squared_error

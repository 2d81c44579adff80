"""The acoustic network: nothing of batch mates or padding, and long sounds in pieces."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from models.networks.sounds.acoustic import AtSilence, Encoder, FrameLogits, pieces

BANDS = 8


def network(longest: int = 1000) -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((None, BANDS))
    vectors = Encoder([4, 4, 4], [2, 2, 1], 8, [6, 6], 0.5)(inputs)
    inner = keras.Model(inputs, FrameLogits(5, 0.5)(vectors))
    return keras.Model(inputs, AtSilence(inner, 4, longest, 3)(inputs))


def answering(model: keras.Model) -> Callable[[np.ndarray], tf.Tensor]:
    """Answer any number of sounds, of any length, with one graph."""
    return tf.function(
        lambda frames: model(frames, training=False),
        input_signature=[tf.TensorSpec([None, None, BANDS])],
        autograph=False,
    )


def sounds(*lengths: int, room: int) -> np.ndarray:
    random = np.random.default_rng(0)
    frames = np.full((len(lengths), room, BANDS), np.nan, np.float32)
    for place, length in enumerate(lengths):
        frames[place, :length] = random.normal(-40, 10, (length, BANDS))
    return frames


def test_an_answer_depends_on_no_batch_mate_and_on_no_padding() -> None:
    answer = answering(network())
    frames = sounds(37, 50, 1, 4, room=50)
    together = answer(frames).numpy()
    assert together.shape == (4, 13, 5)
    assert (~np.isnan(together[..., 0])).sum(1).tolist() == [10, 13, 1, 1]
    for place, length in enumerate((37, 50, 1, 4)):
        for room in (length, length + 1, length + 30):
            padded = np.full((1, room, BANDS), np.nan, np.float32)
            padded[0, :length] = frames[place, :length]
            alone = answer(padded).numpy()[0]
            count = -(-length // 4)
            np.testing.assert_allclose(alone[:count], together[place, :count], atol=1e-5)
            assert np.isnan(alone[count:]).all()


def test_gradients_are_finite_where_sounds_are_shorter_than_their_batch() -> None:
    model = network()
    with tf.GradientTape() as tape:
        logits = model(sounds(37, 50, 1, room=50), training=True)
        total = tf.reduce_sum(tf.where(tf.math.is_nan(logits), 0.0, logits))
    for gradient in tape.gradient(total, [v.value for v in model.trainable_variables]):
        assert np.isfinite(gradient).all()


def test_loudness_of_a_band_does_not_count() -> None:
    model = network()
    frames = sounds(30, room=30)
    louder = frames + np.linspace(-20, 20, BANDS, dtype=np.float32)
    np.testing.assert_allclose(model(louder), model(frames), atol=1e-4)


def test_cuts_fall_into_silence_and_pieces_are_short_enough() -> None:
    frames = sounds(400, 90, 100, room=400)
    silences = [(60, 90), (150, 180), (260, 280)]
    for begin, end in silences:
        frames[0, begin:end] = -90
    starts, counts = (
        each.numpy() for each in pieces(tf.constant(frames), tf.constant([400, 90, 100]), 100, 4)
    )
    assert counts[1:].tolist() == [1, 1]
    cuts = starts[0, : counts[0]]
    assert (cuts % 4 == 0).all()
    assert (np.diff([*cuts, 400]) <= 100).all()
    # Between 50 and 100 frames behind the start, and each later cut likewise.
    assert 64 <= cuts[1] <= 86
    assert 154 <= cuts[2] <= 176
    alone, count = pieces(tf.constant(frames[:1]), tf.constant([400]), 100, 4)
    np.testing.assert_array_equal(alone.numpy()[0, : count[0]], cuts)


def test_pieces_are_answered_like_sounds_of_their_own() -> None:
    whole, cutting = network(), network(longest=40)
    cutting.set_weights(whole.get_weights())
    frames = sounds(100, 30, room=100)
    frames[0, 28:36] = frames[0, 60:68] = -90
    answers = cutting(frames, training=False).numpy()
    starts, counts = pieces(tf.constant(frames), tf.constant([100, 30]), 40, 4)
    ends = [*starts.numpy()[0, 1 : counts[0]], 100]
    for begin, end in zip(starts.numpy()[0, : counts[0]], ends, strict=True):
        own = whole(frames[:1, begin:end], training=False).numpy()[0]
        seam = 1 if begin else 0
        np.testing.assert_allclose(
            answers[0, begin // 4 + seam : begin // 4 + len(own)], own[seam:], atol=1e-5
        )
        if begin:
            assert answers[0, begin // 4].argmax() == 3
    np.testing.assert_allclose(answers[1, :8], whole(frames[1:, :30]).numpy()[0], atol=1e-5)
    # While training nothing is cut.
    keras.utils.set_random_seed(5)
    assert np.isfinite(cutting(frames, training=True).numpy()[0]).all()

"""The choice of a language model's weight on validation examples."""

import numpy as np
import tensorflow as tf

from models.evaluation.calibration import decoder_weights
from models.export.sequences.beam import Search
from models.export.sequences.transcripts import Writing
from models.networks.sounds import ngrams


def chosen(given: tuple[float | None, float | None], truth: list[list[int]], **search: object) -> list[float]:
    """Choose for outputs that prefer the label 1 behind a label 0."""
    scores = np.log([[0.98, 0.01, 0.01], [0.01, 0.01, 0.98], [0.2, 0.79, 0.01], [0.01, 0.01, 0.98]])
    outputs = tf.constant(np.repeat(scores[np.newaxis], len(truth), 0).astype(np.float32))
    favour = tf.Variable([9.0, 9.0])
    model = ngrams.fit({(0, 0): 50, (1, 1): 50}, 2, 2)
    writing = Writing(
        ("a", "b"), True, 1.0, Search(**({"width": 8, "model": model, "favour": favour} | search))
    )
    batches = [(outputs, tf.constant(truth))] if truth else []
    decoder_weights.choose(lambda inputs, training: inputs, favour, writing, given, batches)
    return favour.numpy().tolist()


def test_the_weight_follows_what_validation_examples_say() -> None:
    assert chosen((None, 0.0), [[0, 0], [0, 0]])[0] >= 0.4
    light = chosen((None, 0.0), [[0, 1], [0, 1]])
    np.testing.assert_allclose(light[0], decoder_weights.WEIGHTS[0])


def test_what_the_recipe_names_stays() -> None:
    np.testing.assert_allclose(chosen((0.3, 0.7), [[0, 0]]), [0.3, 0.7])
    assert chosen((None, 0.25), [[0, 0]])[1] == 0.25


def test_without_examples_or_a_beam_the_usual_values_are_taken() -> None:
    assert chosen((None, None), []) == list(decoder_weights.USUAL)
    assert chosen((None, None), [[0, 0]], width=1) == list(decoder_weights.USUAL)
    assert chosen((None, 0.5), [[0, 0]], model=None) == [0.0, 0.5]

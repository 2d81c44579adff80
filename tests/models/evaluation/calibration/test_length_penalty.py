"""The choice of the exponent of the length on validation examples."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from models.evaluation.calibration import length_penalty
from models.networks.texts.beam_search import Search

BEGIN, END, WORD = 1, 2, 3
#: "a" ends at once with a probability of 0.6; four more of it follow each other almost surely.
STOPS = tf.math.log([[1e-9, 1e-9, 0.6, 0.4], [1e-9, 1e-9, 1e-9, 1.0], [1e-9, 1e-9, 1.0, 1e-9]])


def step(known, last, place):
    row = tf.where(place == 0, 1, tf.where(place == 1, 0, tf.where(place < 5, 1, 2)))
    return tf.repeat(STOPS[row][tf.newaxis], tf.shape(last)[0], 0), known


def chosen(given: float | None, truth: list[str]) -> float:
    """Choose for a network that answers "a" or "a a a a a", as the penalty wants it."""
    writer = SimpleNamespace(length_penalty=tf.Variable(9.0))
    search = Search(BEGIN, END, 2, writer.length_penalty)
    network = SimpleNamespace(
        write=lambda ids: search.run(step, tf.zeros([tf.shape(ids)[0], 1]), tf.fill([tf.shape(ids)[0]], 9)),
        decode=lambda outputs, labels: {"text": tf.map_fn(_text, outputs[0], tf.string)},
    )
    targets = [[WORD] * len(text.split()) + [END] for text in truth]
    batches = [(tf.constant([[WORD]]), tf.constant([ids])) for ids in targets]
    length_penalty.choose(network, writer, given, batches)  # type: ignore[arg-type]
    return float(writer.length_penalty.numpy())


def _text(ids):
    return tf.strings.reduce_join(
        tf.repeat("a", tf.reduce_sum(tf.cast(ids == WORD, tf.int32))), separator=" "
    )


def test_the_penalty_follows_the_length_of_validation_targets() -> None:
    assert chosen(None, ["a a a a a", "a a a a a"]) > 0.5
    assert chosen(None, ["a", "a"]) == 0.0


def test_what_the_recipe_names_stays() -> None:
    assert chosen(1.25, ["a"]) == 1.25


@pytest.mark.parametrize(("given", "taken"), [(None, length_penalty.USUAL), (0.25, 0.25)])
def test_without_examples_the_usual_value_is_taken(given: float | None, taken: float) -> None:
    assert chosen(given, []) == taken

"""The decoders on scores whose best answer is known: all paths added up, and all answers compared."""

import numpy as np
import pytest
import tensorflow as tf

from models.export.sequences import beam
from models.export.sequences.beam import Search
from models.networks.sounds import ctc, ngrams
from tests.models.networks.sounds.test_ctc import LABELS, logits, sums

MODEL = ngrams.fit({(0, 1, 0): 2, (1, 1): 1}, LABELS, 3)


def found(values: np.ndarray, how: Search) -> tuple[list[tuple[int, ...]], np.ndarray]:
    labels, worth = beam.search(ctc.log_probabilities(values), ctc.lengths(values), how)
    return [tuple(int(label) for label in row if label >= 0) for row in labels.numpy()], worth.numpy()


def worths(values: np.ndarray, how: Search) -> dict[tuple[int, ...], float]:
    """Weigh every answer to the outputs of one example."""
    model = how.model
    return {
        said: likely
        + how.favour[1] * len(said)
        + (how.favour[0] * model.score(said) if model is not None else 0)
        for said, likely in sums(values).items()
    }


@pytest.mark.parametrize("model", [None, MODEL])
@pytest.mark.parametrize(("weight", "bonus"), [(0.0, 0.0), (0.7, 0.0), (1.5, 0.8)])
def test_a_wide_beam_finds_the_best_of_all_answers(model: object, weight: float, bonus: float) -> None:
    values = tf.constant(logits([5, 4, 3, 1, 5, 5]))
    how = Search(64, model, (weight, bonus))  # type: ignore[arg-type]
    answers, worth = found(values, how)
    for place, answer in enumerate(answers):
        possible = worths(values[place].numpy(), how)
        best = max(possible, key=possible.__getitem__)
        assert answer == best
        assert worth[place] == pytest.approx(possible[best], rel=1e-4)


def test_a_label_that_many_paths_say_beats_the_likeliest_path() -> None:
    """Graves 2006: blank in both frames has 0.36, but "a" has 0.24 + 0.24 + 0.16."""
    frame = np.log([[0.4, 1e-9, 0.6]])
    values = np.repeat(frame, 2, axis=0)[np.newaxis].astype(np.float32)
    assert not (ctc.greedy(tf.constant(values)).numpy() >= 0).any()
    answers, worth = found(tf.constant(values), Search(4))
    assert answers == [(0,)]
    assert np.exp(worth[0]) == pytest.approx(0.64, rel=1e-4)
    for width, said in ((1, []), (4, [0])):
        labels, likely = beam.best(tf.constant(values), Search(width))
        assert [label for label in labels.numpy()[0] if label >= 0] == said
        assert np.exp(likely.numpy()[0]) == pytest.approx(0.64 if said else 0.36, rel=1e-4)


def test_the_language_model_decides_between_sounds_that_are_alike() -> None:
    scores = np.log([[0.98, 0.01, 0.01], [0.01, 0.01, 0.98], [0.44, 0.55, 0.01], [0.01, 0.01, 0.98]])
    values = tf.constant(scores[np.newaxis].astype(np.float32))
    prefers = ngrams.fit({(0, 0): 50, (1, 1): 50}, LABELS, 2)
    assert found(values, Search(8))[0] == [(0, 1)]
    assert found(values, Search(8, prefers, (0.01, 0.0)))[0] == [(0, 1)]
    assert found(values, Search(8, prefers, (1.0, 0.0)))[0] == [(0, 0)]


def test_repeated_labels_need_a_blank_between_them() -> None:
    path = [0, 0, 2, 0, 1, 1, 2, 1]
    values = tf.constant((np.eye(3)[path] * 9)[np.newaxis].astype(np.float32))
    assert found(values, Search(8))[0] == [(0, 0, 1, 1)]


@pytest.mark.parametrize("width", [2, 3, 8])
def test_an_answer_depends_on_no_batch_mate_and_is_worth_what_it_says(width: int) -> None:
    how = Search(width, MODEL, (0.8, 0.3))
    values = logits([5, 2, 4, 5])
    labels, likely = beam.best(tf.constant(values), how)
    for place in range(len(values)):
        length = int((~np.isnan(values[place, :, 0])).sum())
        alone, own = beam.best(tf.constant(values[place : place + 1, :length]), how)
        said = [int(label) for label in alone.numpy()[0] if label >= 0]
        assert said == [int(label) for label in labels.numpy()[place] if label >= 0]
        np.testing.assert_allclose(own.numpy()[0], likely.numpy()[place], atol=1e-5)
        assert own.numpy()[0] == pytest.approx(sums(values[place])[tuple(said)], rel=1e-4)
        added = beam.favour(alone, how).numpy()[0]
        assert added == pytest.approx(0.8 * MODEL.score(said) + 0.3 * len(said), abs=1e-4)


def test_the_beam_is_never_worth_less_than_the_likeliest_frames() -> None:
    random = np.random.default_rng(7)
    values = tf.constant(random.normal(0, 1.5, (40, 30, 6)).astype(np.float32))
    model = ngrams.fit({tuple(random.integers(0, 5, 6)): 1 for _ in range(20)}, 5, 3)
    for how in (Search(2), Search(2, model, (1.0, 0.0)), Search(16, model, (2.0, -1.0))):
        labels, likely = beam.best(values, how)
        greedy = ctc.greedy(values)
        other = -ctc.negative_log_likelihood(greedy, values) + beam.favour(greedy, how)
        assert (likely + beam.favour(labels, how) >= other - 1e-3).numpy().all()

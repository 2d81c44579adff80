"""The language model: probabilities that sum to 1, and what Witten and Bell's formula says."""

import math

import numpy as np
import pytest

from models.networks.sounds import ngrams

SEEN = {(0, 1, 0): 2, (1, 1): 1, (2,): 1}
LABELS = 3


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_every_state_has_a_distribution(order: int) -> None:
    model = ngrams.fit(SEEN, LABELS, order)
    np.testing.assert_allclose(np.exp(model.scores).sum(1), 1, rtol=1e-5)
    assert model.states.shape == (len(model.scores), LABELS)
    assert model.states.min() >= 0
    assert model.states.max() < len(model.scores)
    seen, unseen = model.score((0, 1, 0)), model.score((2, 2, 0))
    assert seen > unseen


def test_a_bigram_is_mixed_with_single_labels() -> None:
    """4 sequences, 9 labels and 4 ends: 0 four times, 1 four times, 2 once; four kinds, so 13 + 4."""
    model = ngrams.fit(SEEN, LABELS, 2)
    single = {label: (count + 4 * 0.25) / 17 for label, count in enumerate((4, 4, 1, 4))}
    # After 0: 1 twice, the end twice.
    state = model.states[0, 0]
    expected = {1: (2 + 2 * single[1]) / 6, 3: (2 + 2 * single[3]) / 6, 2: 2 * single[2] / 6}
    for label, share in expected.items():
        assert math.exp(model.scores[state, label]) == pytest.approx(share, rel=1e-5)
    # At the beginning: 0 twice, 1 once, 2 once.
    assert math.exp(model.scores[0, 0]) == pytest.approx((2 + 3 * single[0]) / 7, rel=1e-5)


def test_states_are_the_longest_ends_that_were_seen() -> None:
    model = ngrams.fit({(0, 1, 2): 1}, LABELS, 3)
    after_01 = model.states[model.states[0, 0], 1]
    # From another beginning the same last two labels lead to the same state.
    detour = model.states[model.states[model.states[0, 2], 0], 1]
    assert after_01 == detour
    assert model.scores[after_01, 2] == model.scores[after_01].max()


def test_too_many_contexts_are_cut_to_the_frequent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "MOST_ENTRIES", 5 * (LABELS + 1))
    model = ngrams.fit(SEEN, LABELS, 4)
    assert len(model.scores) == 5
    np.testing.assert_allclose(np.exp(model.scores).sum(1), 1, rtol=1e-5)


def test_the_model_of_no_end_leaves_it_out() -> None:
    model = ngrams.fit(SEEN, LABELS, 2)
    whole, begun = model.score((0, 1)), model.score((0, 1), ended=False)
    last = model.states[model.states[0, 0], 1]
    assert whole - begun == pytest.approx(float(model.scores[last, -1]))

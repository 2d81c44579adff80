"""Decoding of notes on hand-made scores whose notes are known."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models.export.sequences.notes import begins, notes, shortest
from models.networks.sounds.notes import FRAME, HELD, LOUDNESS, ONSET

LABELS = tuple(map(str, range(88)))
STEP = 0.025
SHORTEST = shortest(STEP)
#: Logits of what is and of what is not.
YES, NO = 2.0, -2.0


def silence(takes: int = 1, frames: int = 20) -> np.ndarray:
    return np.full((takes, frames, 4, 88), NO, np.float32)


def decoded(outputs: np.ndarray) -> dict[str, np.ndarray]:
    function = tf.function(lambda x: notes(x, LABELS, STEP))
    return {name: value.numpy() for name, value in function(tf.constant(outputs)).items()}


def listed(answer: dict[str, np.ndarray], take: int = 0) -> list[tuple[float, ...]]:
    """Onset and offset in frames, and pitch, of each note."""
    count = int(answer["count"][take])
    for name in ("onsets", "offsets", "pitches", "velocities"):
        assert not answer[name][take, count:].any()
    frames = (np.round(answer[name] / STEP, 3) for name in ("onsets", "offsets"))
    columns = (*frames, answer["pitches"])
    return [tuple(map(float, row)) for row in zip(*(one[take, :count] for one in columns), strict=True)]


def play(outputs: np.ndarray, take: int, begin: int, end: int, key: int, loud: float = 0.0) -> None:
    outputs[take, begin, ONSET, key] = YES
    outputs[take, begin:end, [[FRAME], [HELD]], key] = YES
    outputs[take, begin, LOUDNESS, key] = loud


def test_notes_are_listed_by_onset_and_pitch_with_their_loudness() -> None:
    outputs = silence(2)
    play(outputs, 0, 2, 9, 87, loud=50.0)
    play(outputs, 0, 2, 7, 0, loud=0.0)
    play(outputs, 0, 0, 20, 40, loud=-50.0)
    play(outputs, 1, 5, 10, 40)
    answer = decoded(outputs)
    assert listed(answer, 0) == [(0, 20, 61), (2, 7, 21), (2, 9, 108)]
    assert listed(answer, 1) == [(5, 10, 61)]
    np.testing.assert_allclose(answer["velocities"][0], [1.0, 63.5, 127.0])
    assert answer["count"].tolist() == [3, 1]
    assert answer["onsets"].shape == (2, 3)
    np.testing.assert_array_equal(answer["roll"], outputs[:, :, FRAME] > 0)
    assert answer["frames"].tolist() == [20, 20]
    assert answer["frame_seconds"] == pytest.approx([STEP, STEP])


def test_a_take_without_notes_has_none() -> None:
    answer = decoded(silence())
    assert answer["count"].tolist() == [0]
    assert answer["onsets"].tolist() == [[0.0]]
    assert decoded(silence(0))["onsets"].shape == (0, 1)


def test_a_note_ends_where_its_key_is_struck_again() -> None:
    outputs = silence()
    play(outputs, 0, 2, 15, 10)
    play(outputs, 0, 8, 15, 10)
    play(outputs, 0, 4, 6, 11)
    assert listed(decoded(outputs)) == [(2, 8, 31), (4, 4 + SHORTEST, 32), (8, 15, 31)]


def test_one_quiet_frame_ends_no_note_and_two_do() -> None:
    outputs = silence()
    play(outputs, 0, 2, 15, 10)
    outputs[0, 7, HELD, 10] = NO
    outputs[0, 11:13, HELD, 10] = NO
    assert listed(decoded(outputs)) == [(2, 11, 31)]


def test_a_note_lasts_at_least_a_little_and_ends_with_the_take() -> None:
    outputs = silence()
    outputs[0, 4, ONSET, 10] = outputs[0, 18, ONSET, 12] = YES
    assert listed(decoded(outputs)) == [(4, 4 + SHORTEST, 31), (18, 20, 33)]


def test_of_onsets_side_by_side_the_strongest_is_one() -> None:
    onset = np.full((1, 12, 1), NO, np.float32)
    onset[0, [1, 2, 3], 0] = [0.5, 1.0, 0.7]
    onset[0, [7, 8], 0] = 0.3  # The first of equal ones.
    onset[0, 11, 0] = 0.0  # A probability of a half is enough.
    assert np.flatnonzero(begins(tf.constant(onset)).numpy()).tolist() == [2, 7, 11]


@pytest.mark.parametrize("other", [3, 40])
def test_an_answer_does_not_depend_on_the_batch(other: int) -> None:
    dice = np.random.default_rng(0)
    alone = dice.normal(0, 2, (1, 15, 4, 88)).astype(np.float32)
    frames = max(other, 15)
    together = np.full((2, frames, 4, 88), np.nan, np.float32)
    together[0, :15], together[1, :other] = alone[0], dice.normal(0, 2, (other, 4, 88))
    one, two = decoded(alone), decoded(together)
    assert listed(one, 0) == listed(two, 0)
    assert not two["roll"][0, 15:].any()
    assert two["frames"].tolist() == [15, other]


def by_hand(outputs: np.ndarray) -> list[tuple[float, ...]]:
    """Decode one take as the docstring says, note by note."""
    found: list[tuple[float, ...]] = []
    frames = len(outputs)
    for key in range(88):
        onset, held = outputs[:, ONSET, key], outputs[:, HELD, key]
        peaks = [
            t
            for t in range(frames)
            if onset[t] >= 0
            and all(onset[t] > onset[s] for s in range(max(0, t - 2), t))
            and all(onset[t] >= onset[s] for s in range(t + 1, min(frames, t + 3)))
        ]
        for number, t in enumerate(peaks):
            end: Any = min(t + SHORTEST, frames)
            while end < frames and not (held[end : end + 2] < 0).all():
                end += 1
            following = peaks[number + 1] if number + 1 < len(peaks) else frames
            found.append((t, min(end, following), key + 21))
    return sorted(found, key=lambda note: (note[0], note[2]))


def test_random_scores_give_the_notes_found_one_by_one() -> None:
    outputs = np.random.default_rng(1).normal(-0.5, 2, (3, 60, 4, 88)).astype(np.float32)
    answer = decoded(outputs)
    for take in range(3):
        assert listed(answer, take) == by_hand(outputs[take])

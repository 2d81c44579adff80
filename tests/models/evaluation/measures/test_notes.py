"""Figures of transcribed notes against counts by hand, and the thresholds that are chosen."""

from dataclasses import replace

import mir_eval
import numpy as np
import pytest
import tensorflow as tf

from features.errors import DataError
from features.targets.notes import KEYS, LOWEST, NOTES
from models.evaluation.calibration import note_thresholds
from models.evaluation.measures import notes
from models.evaluation.measures.notes import Heard
from models.export.sequences.notes import notes as decode
from models.networks.sounds.notes import rolls
from tests.models.networks.sounds.test_notes import notes as padded
from tests.models.networks.sounds.test_notes import said

STEP = 0.01
TRUTH = np.array([[0.1, 0.5, 60, 60], [0.3, 0.6, 64, 70], [0.5, 1.0, 60, 80], [0.7, 0.9, 67, 90]], float)


def heard(rows: np.ndarray, seconds: float = 1.0) -> Heard:
    frames = round(seconds / STEP)
    roll = np.zeros((frames, KEYS), bool)
    for onset, offset, pitch, _ in rows:
        roll[round(onset / STEP) : round(offset / STEP), int(pitch) - LOWEST] = True
    return Heard(np.asarray(rows, float).reshape(-1, 4), roll, STEP)


def test_who_hears_everything_has_ones() -> None:
    measured = notes.evaluate([TRUTH, TRUTH[:1]], [heard(TRUTH), heard(TRUTH[:1])])
    names = ("note_f1", "note_precision", "note_recall", "note_offset_f1")
    assert [measured.metrics[f"test/{name}"] for name in names] == [1.0] * 4
    # The frames of the roll are not the instants that are compared.
    assert measured.metrics["test/frame_f1"] == pytest.approx(1.0, abs=0.05)
    assert measured.metrics["test/velocity_error"] == 0
    assert (measured.interval.low, measured.interval.high) == (1.0, 1.0)
    assert measured.keys["keys"].tolist() == ["C4 to B4"]


def test_notes_are_counted_as_by_hand() -> None:
    answer = TRUTH.copy()
    answer[0, 0] += 0.049  # in time
    answer[1, 0] += 0.051  # too late
    answer[2, 1] -= 0.2  # ends too early: a fifth of its length are 0.1 s
    answer[3, 3] -= 9
    answer = np.vstack([answer, [[0.8, 0.9, 100, 64]]])
    measured = notes.evaluate([TRUTH], [heard(answer)])
    assert measured.metrics["test/note_precision"] == pytest.approx(3 / 5)
    assert measured.metrics["test/note_recall"] == pytest.approx(3 / 4)
    assert measured.metrics["test/note_f1"] == pytest.approx(2 / 3)
    assert measured.metrics["test/note_offset_f1"] == pytest.approx(2 * 2 / 9)
    assert measured.metrics["test/velocity_error"] == pytest.approx(3.0)
    octave = measured.keys.set_index("keys").loc["C4 to B4"]
    assert (octave["notes"], octave["precision"], octave["recall"]) == (4, 0.75, 0.75)


def test_frames_are_those_of_a_loop_over_instants() -> None:
    dice = np.random.default_rng(0)
    begin = dice.uniform(0, 3, 40)
    truth = np.column_stack([begin, begin + dice.uniform(0.1, 1, 40), dice.integers(40, 50, 40), [64] * 40])
    answer = heard(truth + np.array([0.05, 0.1, 0, 0]), 5.0)
    both = true = found = 0
    for time in np.arange(0, 5.0, notes.HOP):
        now = {int(p) for a, b, p, _ in truth if a <= time < b}
        said = set((np.flatnonzero(answer.roll[min(round(time / STEP), 499)]) + LOWEST).tolist())
        both, true, found = both + len(now & said), true + len(now), found + len(said)
    assert notes.frame_f1(truth, answer) == pytest.approx(2 * both / (true + found))


def test_silence_is_right_where_nothing_is_played() -> None:
    none = np.zeros((0, 4))
    measured = notes.evaluate([none, TRUTH, none], [heard(none), heard(none), heard(TRUTH)])
    assert measured.takes["note_f1"].tolist() == [1.0, 0.0, 0.0]
    assert measured.takes["frame_f1"].tolist() == [1.0, 0.0, 0.0]
    with pytest.raises(DataError, match="do not match"):
        notes.evaluate([TRUTH], [])


def test_answers_are_packed_and_unpacked() -> None:
    given = padded((20, 40, 60, 100), (30, 60, 72, 50))
    outputs = np.pad(said(80, given, 4.0), [(0, 1), (0, 5), (0, 0), (0, 0)], constant_values=np.nan)
    outputs[1, :50] = -4.0
    answers = {name: value.numpy() for name, value in decode(tf.constant(outputs), (), STEP).items()}
    packed = notes.read(answers, NOTES.names([], []))
    first, second = map(notes.unpacked, packed)
    np.testing.assert_allclose(first.notes[:, :3], [[0.2, 0.4, 60], [0.3, 0.6, 72]], atol=1e-6)
    np.testing.assert_array_equal(first.roll, rolls(tf.constant(given), 80)[1][0] > 0)
    assert (second.notes.shape, second.roll.shape, second.step) == ((0, 4), (50, KEYS), pytest.approx(STEP))


def test_the_interval_follows_the_takes_or_their_blocks() -> None:
    takes = [heard(TRUTH), heard(TRUTH[:2]), heard(TRUTH[:1])]
    apart = notes.evaluate([TRUTH] * 3, takes)
    assert apart.interval.low < apart.interval.value < apart.interval.high
    together = notes.evaluate([TRUTH] * 3, takes, blocks=np.array(["a", "a", "a"]))
    assert together.interval.low == together.interval.high == pytest.approx(apart.interval.value)
    scores = [mir_eval.util.f_measure(1.0, share) for share in (1.0, 0.5, 0.25)]
    assert apart.interval.value == pytest.approx(np.mean(scores))


def test_thresholds_are_those_that_tell_the_notes_apart() -> None:
    given = padded((20, 40, 60, 100), (30, 60, 72, 50))
    outputs = said(80, given, 1.0) + np.array([0.5, -1.3, 0.0, -1.3], np.float32)[:, None]
    # What is played has logits of 1.5 and -0.3, what is not of -0.5 and -2.3.
    decoding = tf.function(lambda moved: decode(moved, (), STEP), autograph=False)
    choice = note_thresholds.Choice(lambda inputs: inputs, decoding, STEP)
    onset, frame, held = choice.of([(tf.constant(outputs), tf.constant(given))])
    assert -0.5 < onset <= 1.5
    assert -2.3 < frame <= -0.3
    assert -2.3 < held <= -0.3
    assert choice.of([]) == (0.0, 0.0, 0.0)
    seen = []

    def change(inputs, notes, seeds):
        seen.append(seeds.numpy().tolist())
        return inputs + 5.0, notes

    # Everything sounds in the changed takes unless the thresholds are higher.
    other = replace(choice, change=change).of([(tf.constant(outputs), tf.constant(given))])
    assert seen == [[[0, 1]]]
    assert other[0] >= onset

"""From which probability on a note begins, and a key sounds: the best of a grid, on validation takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from models.evaluation.measures import notes as measured
from models.networks.sounds.notes import FRAME, rolls
from models.networks.sounds.notes import present as frames_of

#: Probabilities that are tried.
GRID = np.round(np.arange(0.1, 0.91, 0.04), 2)
#: F1 that is given up for a lower threshold: a network is less sure of instruments that it has never heard.
GIVEN_UP = 0.01

_LOGITS = [float(np.log(p / (1 - p))) for p in GRID]


@dataclass(frozen=True)
class Choice:
    """How the thresholds of an onset, of a sounding key and of one that sounds on are chosen.

    The first is the lowest whose F1 of notes is at most GIVEN_UP below the highest. The second gives the
    highest F1 of frames, the third that of notes with their ends. Each is the mean over takes.

    Attributes:
        answer: from inputs to outputs; see `models.networks.sounds.notes`.
        decode: from outputs to notes.
        step: seconds from frame to frame.
        change: from inputs, notes and seeds to others, as in other rooms, on which thresholds must hold as
            well; None changes none.
    """

    answer: Callable[[Any], Any]
    decode: Callable[[Any], dict[str, Any]]
    step: float
    change: Callable[[Any, Any, Any], tuple[Any, Any]] | None = None

    def of(self, batches: Sequence[tuple[Any, Any]]) -> tuple[float, float, float]:
        """Choose for takes.

        Args:
            batches: inputs, and notes [batch, notes, 4] in frames.

        Returns:
            Logits of the three probabilities; 0 where there are no takes.
        """
        batches = [*batches, *(self._changed(*batch) for batch in batches)] if self.change else batches
        answered = [(self.answer(inputs), notes) for inputs, notes in batches]
        if not answered:
            return 0.0, 0.0, 0.0
        sounding = [_sounding(*take) for take in answered]
        frame = _LOGITS[int(np.argmax([_frame_f1(sounding, logit) for logit in _LOGITS]))]
        onset = _lowest([self._note_f1(answered, logit, frame, offsets=False) for logit in _LOGITS])
        ends = [self._note_f1(answered, onset, logit, offsets=True) for logit in _LOGITS]
        return onset, frame, _LOGITS[int(np.argmax(ends))]

    def _changed(self, inputs: Any, notes: Any) -> tuple[Any, Any]:
        """Change takes, the same way each time."""
        assert self.change is not None, "called where there is a change"
        seeds = tf.stack([tf.range(len(inputs)), tf.ones(len(inputs), tf.int32)], 1)
        return self.change(inputs, notes, seeds)

    def _note_f1(
        self, answered: Sequence[tuple[Any, Any]], onset: float, held: float, *, offsets: bool
    ) -> float:
        scores = []
        for outputs, notes in answered:
            moved = outputs - tf.constant([onset, 0.0, 0.0, held])[:, tf.newaxis]
            heard = measured.read({name: value.numpy() for name, value in self.decode(moved).items()}, ())
            for truth, take in zip(np.asarray(notes, np.float64), heard, strict=True):
                truth = truth[truth[:, 2] >= 0] * [self.step, self.step, 1, 1]
                scores.append(measured.note_scores(truth, measured.unpacked(take).notes, offsets=offsets)[2])
        return float(np.mean(scores))


def _lowest(scores: Sequence[float]) -> float:
    """Return the lowest logit whose F1 is near the highest."""
    return _LOGITS[int(np.argmax(np.array(scores) >= max(scores) - GIVEN_UP))]


def _sounding(outputs: Any, notes: Any) -> tuple[Any, Any]:
    """Return which keys sound in each frame, 1 or 0, and the logits of that: [batch, frames, keys]."""
    there = tf.cast(frames_of(outputs), tf.float32)[..., tf.newaxis]
    return rolls(notes, tf.shape(outputs)[1])[FRAME] * there, outputs[:, :, FRAME]


def _frame_f1(sounding: Sequence[tuple[Any, Any]], logit: float) -> float:
    scores = []
    for truth, logits in sounding:
        heard = tf.cast(logits >= logit, tf.float32)
        both = 2 * tf.reduce_sum(truth * heard, [1, 2])
        scores.append(tf.math.divide_no_nan(both, tf.reduce_sum(truth + heard, [1, 2])).numpy())
    return float(np.concatenate(scores).mean())

"""What transcribed notes are worth: precision and recall of notes and of frames, as mir_eval counts them.

Times are in seconds, pitches are MIDI numbers. Nothing here knows files, models or tracking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.datasets.dataset import Dataset
from features.errors import DataError
from features.targets.notes import HIGHEST, LOWEST, key_name, stacked
from models.evaluation.uncertainty import Interval
from models.task import Evaluator

CONFIDENCE = 0.95
#: Seconds by which an onset may be off, and between the instants at which sounding keys are compared.
TOLERANCE, HOP = 0.05, 0.032
#: Columns of a note.
COLUMNS = ("onset", "offset", "pitch", "velocity")
_KEYS = HIGHEST - LOWEST + 1


@dataclass(frozen=True)
class Heard:
    """What was heard in one take.

    Attributes:
        notes: float64 [notes, 4]; see COLUMNS.
        roll: bool [frames, keys], which keys sound.
        step: seconds from frame to frame.
    """

    notes: np.ndarray
    roll: np.ndarray
    step: float


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one split.

    Attributes:
        split: the split's name, such as ``test``.
        metrics: flat figures by tracked name, such as ``test/note_f1``.
        interval: the F1 of notes with its interval.
        truth: of each take the true notes, float64 [notes, 4].
        heard: of each take what was transcribed.
        takes: a row for each take: ``note_precision``, ``note_recall``, ``note_f1``, ``note_offset_f1``,
            ``frame_f1``, ``notes`` and ``heard``.
        keys: a row for each octave: ``notes``, ``precision`` and ``recall``.
    """

    split: str
    metrics: dict[str, float]
    interval: Interval
    truth: list[np.ndarray]
    heard: list[Heard]
    takes: pd.DataFrame
    keys: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What is logged beside the figures."""
        return {"takes": self.takes, "octaves": self.keys}


def matched(truth: np.ndarray, heard: np.ndarray) -> list[tuple[int, int]]:
    """Match notes of the same key whose onsets are at most TOLERANCE apart, as many as can be.

    Returns:
        Positions of a true and of a heard note, pair by pair.
    """
    from mir_eval.transcription import match_notes

    if not len(truth) or not len(heard):
        return []
    pairs: list[tuple[int, int]] = match_notes(
        *_intervals(truth), *_intervals(heard), onset_tolerance=TOLERANCE, offset_ratio=None
    )
    return pairs


def _intervals(notes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return notes[:, :2], _hertz(notes[:, 2])


def _hertz(pitches: Any) -> np.ndarray:
    return np.asarray(440.0 * 2.0 ** ((np.asarray(pitches) - 69.0) / 12.0))


def note_scores(truth: np.ndarray, heard: np.ndarray, *, offsets: bool) -> tuple[float, float, float]:
    """Return precision, recall and F1 of a take's notes; a take without true or heard notes has 1 or 0.

    Args:
        truth: [notes, 4].
        heard: likewise.
        offsets: whether a note must also end where it should: within a fifth of its length, or 50 ms.
    """
    from mir_eval.transcription import precision_recall_f1_overlap

    if not len(truth) or not len(heard):
        empty = float(len(truth) == len(heard))
        return empty, empty, empty
    precision, recall, f1, _ = precision_recall_f1_overlap(
        *_intervals(truth),
        *_intervals(heard),
        onset_tolerance=TOLERANCE,
        offset_ratio=0.2 if offsets else None,
    )
    return float(precision), float(recall), float(f1)


def frame_f1(truth: np.ndarray, heard: Heard) -> float:
    """Return the F1 of the keys that sound at every HOP of a take."""
    from mir_eval.multipitch import metrics

    end = max(truth[:, 1].max(initial=0.0), len(heard.roll) * heard.step)
    times = np.arange(0, max(end, HOP), HOP)
    sounding = np.zeros((len(times), _KEYS), bool)
    for onset, offset, pitch, _ in truth:
        sounding[(times >= onset) & (times < offset), int(pitch) - LOWEST] = True
    frames = np.minimum(np.round(times / heard.step).astype(int), max(len(heard.roll) - 1, 0))
    answered = heard.roll[frames] if len(heard.roll) else np.zeros_like(sounding)
    if not sounding.any() or not answered.any():
        return float(sounding.any() == answered.any())
    precision, recall, *_ = metrics(times, _pitches(sounding), times, _pitches(answered))
    return float(2 * precision * recall / max(precision + recall, 1e-12))


def _pitches(roll: np.ndarray) -> list[np.ndarray]:
    return [_hertz(np.flatnonzero(row) + LOWEST) for row in roll]


def evaluate(
    truth: Sequence[np.ndarray],
    heard: Sequence[Heard],
    *,
    blocks: np.ndarray | None = None,
    split: str = "test",
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure everything this module knows; figures are means over the takes.

    Args:
        truth: of each take the true notes, [notes, 4].
        heard: of each take what was transcribed.
        blocks: name of each take's block, resampled as a whole; None resamples the takes.
        split: prefix of the metric names.
        resamples: bootstrap resamples of the F1 of notes.
        seed: of the bootstrap.

    Raises:
        DataError: there are no takes, or their counts differ.
    """
    if len(truth) != len(heard) or not len(truth):
        raise DataError(
            "the transcriptions do not match the recordings", got=f"{len(heard)} and {len(truth)} recordings"
        )
    rows = []
    for notes, answer in zip(truth, heard, strict=True):
        precision, recall, f1 = note_scores(notes, answer.notes, offsets=False)
        rows.append(
            {
                "note_precision": precision,
                "note_recall": recall,
                "note_f1": f1,
                "note_offset_f1": note_scores(notes, answer.notes, offsets=True)[2],
                "frame_f1": frame_f1(notes, answer),
                "notes": len(notes),
                "heard": len(answer.notes),
            }
        )
    takes = pd.DataFrame(rows)
    interval = _interval(takes["note_f1"].to_numpy(), blocks, resamples, seed)
    figures = {name: float(takes[name].mean()) for name in takes.columns[:5]}
    figures |= {"note_f1_low": interval.low, "note_f1_high": interval.high}
    figures |= {"velocity_error": _velocity_error(truth, heard)}
    figures |= {"examples": float(len(takes)), "notes": float(takes["notes"].sum())}
    return Evaluation(
        split,
        {f"{split}/{name}": value for name, value in figures.items()},
        interval,
        list(truth),
        list(heard),
        takes,
        _by_octave(truth, heard),
    )


def _interval(values: np.ndarray, blocks: np.ndarray | None, resamples: int, seed: int) -> Interval:
    """Bootstrap the mean over takes, or whole blocks of them."""
    units = np.arange(len(values)) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    sums, counts = np.bincount(units, values), np.bincount(units)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(resamples, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval("note_f1", float(values.mean()), float(low), float(high), CONFIDENCE, resamples)


def _velocity_error(truth: Sequence[np.ndarray], heard: Sequence[Heard]) -> float:
    """Return the mean absolute error of the velocities of notes that were heard rightly; 0 without any."""
    errors = [
        abs(notes[true, 3] - answer.notes[predicted, 3])
        for notes, answer in zip(truth, heard, strict=True)
        for true, predicted in matched(notes, answer.notes)
    ]
    return float(np.mean(errors)) if errors else 0.0


def _by_octave(truth: Sequence[np.ndarray], heard: Sequence[Heard]) -> pd.DataFrame:
    """Count notes, and those heard rightly, by octave."""
    counts = np.zeros((3, 9), int)
    for notes, answer in zip(truth, heard, strict=True):
        pairs = matched(notes, answer.notes)
        right = notes[[true for true, _ in pairs], 2]
        for row, pitches in enumerate((notes[:, 2], answer.notes[:, 2], right)):
            counts[row] += np.bincount(pitches.astype(int) // 12 - 1, minlength=9)[:9]
    true, predicted, right = counts
    named = [
        f"{key_name(max(12 * n + 12, LOWEST))} to {key_name(min(12 * n + 23, HIGHEST))}" for n in range(9)
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / predicted, right / true
    frame = pd.DataFrame({"keys": named, "notes": true, "precision": precision, "recall": recall})
    return frame[(true > 0) | (predicted > 0)].reset_index(drop=True)


def read(outputs: Mapping[str, np.ndarray], labels: Sequence[str]) -> np.ndarray:
    """Put decoded outputs together as `of_dataset` takes them: a structured array [takes]."""
    notes = np.stack([outputs[name] for name in ("onsets", "offsets", "pitches", "velocities")], axis=2)
    roll = np.packbits(outputs["roll"].astype(bool), axis=2)
    kinds = [
        ("notes", np.float32, notes.shape[1:]),
        ("count", np.int32),
        ("roll", np.uint8, roll.shape[1:]),
        ("frames", np.int32),
        ("step", np.float32),
    ]
    packed = np.zeros(len(notes), kinds)
    packed["notes"], packed["roll"] = notes, roll
    packed["count"], packed["frames"] = outputs["count"], outputs["frames"]
    packed["step"] = outputs["frame_seconds"]
    return packed


def unpacked(answer: np.void) -> Heard:
    """Read what `read` packed of one take."""
    notes = np.asarray(answer["notes"][: answer["count"]], np.float64)
    roll = np.unpackbits(answer["roll"][: answer["frames"]], axis=1, count=_KEYS).astype(bool)
    return Heard(notes, roll, float(answer["step"]))


def of_dataset(dataset: Dataset, answers: np.ndarray) -> Evaluation:
    """Measure what `read` gave of a dataset's measured takes, in their order."""
    measured = dataset.measured
    truth = [stacked(notes) for notes in measured["target"]]
    blocks = measured["block"].to_numpy() if "block" in measured else None
    return evaluate(truth, [unpacked(answer) for answer in answers], blocks=blocks)


NOTES = Evaluator(read, of_dataset)

"""The sections of a report on transcribed notes."""

import posixpath
from collections.abc import Iterator
from functools import partial

import numpy as np

from flows.reports.pages import media
from flows.reports.pages.context import Context
from flows.reports.pages.media import Media, Picture
from flows.reports.pages.page import Fact, Headline, Section, Table
from flows.reports.sections import parts
from models.evaluation.measures.notes import HOP, TOLERANCE, Heard, matched
from models.figures import notes as figures

#: Takes shown with their piano rolls, half of them the worst and half the best.
SHOWN = 4
#: Characters of a take's name in a figure.
_NAME = 28
#: Hz at which notes are played back, and partials of a tone.
_RATE, _PARTIALS = 16_000, 6

MEANINGS = {
    "note_f1": f"F1 of notes: the right key, its onset within {1000 * TOLERANCE:.0f} ms (mir_eval)",
    "note_precision": "share of the transcribed notes that were played",
    "note_recall": "share of the played notes that were transcribed",
    "note_offset_f1": "F1 of notes that also end within a fifth of their length, or 50 ms",
    "frame_f1": f"F1 of the keys that sound, compared every {1000 * HOP:.0f} ms (mir_eval)",
    "velocity_error": "mean error of the velocity of correct notes, of 127",
    "examples": "recordings measured; the figures are means over them",
}


def facts(context: Context) -> list[Fact]:
    """Count takes and notes."""
    metrics = context.measured.metrics
    return [
        Fact("test takes", int(metrics["test/examples"])),
        Fact("test notes", int(metrics["test/notes"])),
        parts.training_examples(context.dataset, "training recordings"),
        Fact("frame F1", f"{metrics['test/frame_f1']:.3f}"),
    ]


def headline(context: Context) -> Headline:
    """Show the F1 of the notes."""
    return parts.headline(context.measured)


def lead(context: Context) -> Section:
    """Show the notes of the take whose F1 is in the middle."""
    order = np.argsort(context.measured.takes["note_f1"].to_numpy(), kind="stable")
    place = int(order[len(order) // 2])
    item, _ = context.measured_example(place, ["the recording"])
    return Section(
        f"A typical recording: {posixpath.basename(item.title)}",
        figures=[_rolls(context, place)],
        media=[item],
    )


def _rolls(context: Context, place: int) -> Picture:
    truth, heard = context.measured.truth[place], context.measured.heard[place]
    pairs = matched(truth, heard.notes)
    draw = partial(figures.true_and_heard, truth, heard.notes, pairs)
    return media.picture(
        "Played and transcribed", draw, "A note is right if its key is, and its onset within 50 ms."
    )


def metrics(context: Context) -> Iterator[Section]:
    """Tabulate the metrics, by take and by octave."""
    measured = context.measured
    names = [str(name) for name in context.dataset.measured["name"]]
    takes = [[name, *row] for name, row in zip(names, measured.takes.to_numpy(object).tolist(), strict=True)]
    octaves = measured.keys.to_numpy(object).tolist()
    labels = [posixpath.basename(name)[-_NAME:] for name in names]
    yield Section(
        "Metrics",
        tables=[
            parts.metric_table(measured, MEANINGS),
            Table(("recording", *measured.takes.columns), takes, "By recording", folded=True),
            Table(tuple(measured.keys.columns), octaves, "By octave", frozenset({"precision", "recall"})),
        ],
        figures=[media.picture("By recording", partial(figures.by_take, measured.takes, labels))],
    )


def takes(context: Context) -> Iterator[Section]:
    """Show what was transcribed in the worst takes and in the best ones, with players."""
    measured = context.measured
    order = np.argsort(measured.takes["note_f1"].to_numpy(), kind="stable")
    half = min(SHOWN, len(order)) // 2 or 1
    chosen = list(dict.fromkeys([*order[:half], *order[len(order) - half :]]))
    for number, place in enumerate(chosen):
        row = measured.takes.iloc[place]
        said = f"note F1 {row['note_f1']:.3f}, frame F1 {row['frame_f1']:.3f}"
        item, _ = context.measured_example(int(place), ["the recording", said])
        yield Section(
            f"{'Worst' if number < half else 'Best'} recording: {posixpath.basename(item.title)}",
            figures=[_rolls(context, int(place))],
            media=[item, _played(measured.heard[place])],
        )


def _played(heard: Heard) -> Media:
    """Play what was transcribed on a plain synthesiser."""
    from features.sounds.files.decoding import wave_bytes

    samples = synthesised(heard.notes, media.SHOWN_SECONDS)
    return media.sound(wave_bytes(samples, _RATE), "what was transcribed", ["played by a synthesiser"])


def synthesised(notes: np.ndarray, most: float) -> np.ndarray:
    """Play notes [notes, 4] as decaying tones: float32 at 16 kHz, of at most so many seconds."""
    end = min(float(notes[:, 1].max(initial=0.0)) + 0.3, most)
    samples = np.zeros(max(int(end * _RATE), _RATE // 10), np.float32)
    for onset, offset, pitch, velocity in notes.tolist():
        begin = int(onset * _RATE)
        length = min(int((offset - onset + 0.1) * _RATE), len(samples) - begin)
        if length <= 0:
            continue
        time = np.arange(length) / _RATE
        hertz = 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)
        partials = [n for n in range(1, _PARTIALS + 1) if n * hertz < _RATE / 2.2]
        tone = sum(np.sin(2 * np.pi * n * hertz * time) / n**1.5 for n in partials)
        shape = np.minimum(time / 0.005, 1) * np.exp(-2.0 * time)
        shape *= np.clip((offset - onset + 0.1 - time) / 0.1, 0, 1)
        samples[begin : begin + length] += (velocity / 127 * tone * shape).astype(np.float32)
    peak = float(np.abs(samples).max())
    return 0.8 * samples / peak if peak > 0 else samples

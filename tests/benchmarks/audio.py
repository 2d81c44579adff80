"""Sounds: the featurizer against librosa, and what the recipes reach on real data."""

import csv
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import tensorflow as tf

from features.sounds.spectrogram import LogMel
from tests.benchmarks.features import best
from tests.benchmarks.table import SHARED, Table, machine
from tests.benchmarks.trainings import cell, repeated, trained

DIGITS, INSTRUMENTS, SCENES = (
    SHARED / "data" / name for name in ("audio_fsdd", "audio_instruments", "audio_env5")
)
MODULE = SHARED / "hub" / "yamnet"
TASK = "audio-classification"


def spectrogram() -> Table:
    """Compare LogMel in a graph, 32 clips at a time, with a plain serial loop over librosa."""
    rows = []
    for rate, seconds, count, settings in (
        (8000, 1, 256, {"n_fft": 256, "hop_length": 80, "n_mels": 40}),
        (16000, 3, 96, {"n_fft": 1024, "hop_length": 256, "n_mels": 64}),
    ):
        clips = np.random.default_rng(0).normal(0, 0.1, (count, rate * seconds)).astype(np.float32)
        layer = tf.function(LogMel(rate, **settings), reduce_retracing=True)
        ours = functools.partial(_ours, layer, clips)
        ours()
        mine, theirs = best(ours), best(functools.partial(_librosa, clips, rate, settings))
        rows.append(
            (
                f"{seconds} s at {rate:,} Hz, n_fft {settings['n_fft']}",
                f"{count / mine:,.0f}",
                f"{count / theirs:,.0f}",
                f"{theirs / mine:.2f}",
            )
        )
    columns = ("clips", "LogMel, clips a second", "librosa, clips a second", "ratio")
    return Table("spectrogram", "Log-mel spectrograms", f"Targets 5 and 3; {machine()}.", columns, rows)


def _ours(layer: Any, clips: np.ndarray) -> None:
    for start in range(0, len(clips), 32):
        layer(tf.constant(clips[start : start + 32])).numpy()


def _librosa(clips: np.ndarray, rate: int, settings: dict[str, int]) -> None:
    for clip in clips:
        librosa.power_to_db(librosa.feature.melspectrogram(y=clip, sr=rate, **settings))


def digits() -> Table:
    """Train the recipes for sounds from scratch on spoken digits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = _unpacked(DIGITS, folder)
        rows = [
            _row(label, repeated(folder, TASK, data, recipe, "--recipe", recipe))
            for label, recipe in (("cnn (target 0.985 in 360 s of training)", "cnn"), ("gru", "gru"))
        ]
    return _table("digits", "Spoken digits", rows)


def speakers() -> Table:
    """Train the recipe cnn on four speakers and test it on the fifth, five times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = _by_speaker(_unpacked(DIGITS, folder))
        options = ("--recipe", "cnn", "--fold-column", "speaker")
        summary, wall = trained(folder, TASK, data, "speakers", *options)
    metrics = summary["metrics"]
    fold = "cv/accuracy_fold_"
    rows = [
        (key.removeprefix(fold), f"{value:.4f}", "")
        for key, value in sorted(metrics.items())
        if key.startswith(fold)
    ]
    mean = f"{metrics['cv/accuracy_mean']:.4f}, deviation {metrics['cv/accuracy_std']:.3f}"
    rows.append(("mean (target 0.80)", mean, f"{wall:.0f}"))
    columns = ("speaker left out", "accuracy", "seconds, all folds and the final model")
    prose = f"Through `servable train --fold-column speaker`; {machine()}."
    return Table("speakers", "Spoken digits, a speaker left out, recipe cnn", prose, columns, rows)


def instruments() -> Table:
    """Train on few clips of instruments: from scratch, and on frozen features."""
    hub = ("--recipe", "yamnet", "--set", f"model.backbone={MODULE}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = _unpacked(INSTRUMENTS, folder)
        rows = [
            _row(label, repeated(folder, TASK, data, model, *options))
            for label, model, options in (
                ("cnn (target 0.78)", "cnn", ("--recipe", "cnn")),
                ("yamnet (target 0.87)", "yamnet", hub),
            )
        ]
    return _table("instruments", "Instruments, 210 clips to train on", rows)


def scenes() -> Table:
    """Cross-validate on five-second clips of five environmental sounds, by the folds of the data."""
    hub = ("--recipe", "yamnet", "--set", f"model.backbone={MODULE}")
    columns = ("--input-column", "file", "--target-column", "class", "--fold-column", "fold")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, rows = unpacked_scenes(folder), []
        for model, options in (("yamnet", hub), ("cnn", ("--recipe", "cnn"))):
            summary, wall = trained(folder, TASK, table, model, *options, *columns)
            rows.append(_folds(model, summary["metrics"], wall))
    baseline = summary["metrics"]["test/linear_accuracy"]
    rows.append(
        ("baseline: logistic regression on mean and deviation of MFCC", f"{baseline:.4f}", "", "", "")
    )
    heads = ("recipe", "accuracy, mean of five folds", "deviation", "lowest fold", "seconds, all of it")
    prose = f"Through `servable train --fold-column fold`, folds and final model; {machine()}."
    return Table(
        "scenes", "Environmental sounds, 160 clips to train on (target of cnn 0.90)", prose, heads, rows
    )


def unpacked_scenes(folder: Path) -> Path:
    """Unpack the environmental sounds and return their table, which names the fold of each."""
    shutil.unpack_archive(next(SCENES.glob("*.tar")), folder / "data", filter="data")
    return Path(shutil.copy(SCENES / "meta.csv", folder / "data"))


def _folds(label: str, metrics: dict[str, float], wall: float) -> tuple[str, ...]:
    lowest = min(value for key, value in metrics.items() if key.startswith("cv/accuracy_fold_"))
    mean, spread = metrics["cv/accuracy_mean"], metrics["cv/accuracy_std"]
    return (label, f"{mean:.4f}", f"{spread:.3f}", f"{lowest:.3f}", f"{wall:.0f}")


def _table(name: str, title: str, rows: list[tuple[str, ...]]) -> Table:
    columns = ("recipe", "test accuracy", "95 % interval", "seconds, whole command", "seconds of training")
    return Table(name, title, f"Through `servable train`; {machine()}.", columns, rows)


def _row(label: str, outcome: tuple[dict[str, Any], float]) -> tuple[str, ...]:
    summary, wall = outcome
    metrics, seconds = summary["metrics"], summary["seconds"]
    interval = f"{metrics['test/accuracy_low']:.3f} to {metrics['test/accuracy_high']:.3f}"
    return (label, cell(summary, "test/accuracy"), interval, f"{wall:.0f}", f"{seconds['train']:.0f}")


def _unpacked(source: Path, folder: Path) -> Path:
    shutil.unpack_archive(next(source.glob("*.zip")), folder / source.name)
    (inner,) = (folder / source.name).iterdir()
    return inner


def _by_speaker(digits: Path) -> Path:
    """Write a table of all clips with their speaker beside them."""
    table = digits.parent / "speakers.csv"
    with table.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["file", "label", "speaker"])
        for path in sorted(digits.rglob("*.wav")):
            digit, speaker, _ = path.stem.split("_")
            rows.writerow([path.relative_to(digits.parent), digit, speaker])
    return table

"""What the recipes for speech reach on real data, and how quickly a server writes down what was said."""

import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from serving.client.client import Client
from serving.client.sounds import wave
from serving.config import Options
from serving.server.server import Server
from tests.benchmarks.table import SHARED, Table, machine
from tests.benchmarks.trainings import trained

SPELLED, DIGITS = (SHARED / "data" / name for name in ("speech_an4", "audio_fsdd"))
TASK = "speech-recognition"
COLUMNS = ("--input-column", "file", "--target-column", "text", "--split-column", "split")
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
#: Strings of digits of each split, and the digits of a string.
STRINGS, LENGTHS = {"train": 400, "validation": 60, "test": 150}, (3, 8)


def speech() -> Table:
    """Write down spelled words, numbers and dates of speakers never heard: 380 recordings to train on."""
    with tempfile.TemporaryDirectory() as folder:
        data = spelled(Path(folder) / "data")
        summary, wall = trained(Path(folder), TASK, data, "an4", *COLUMNS)
    title = "AN4: spelled words, numbers and dates (target CER 0.18, WER 0.35; aim 0.08, 0.15)"
    return _table("speech", title, [_row("default", summary, wall)])


def digit_strings() -> Table:
    """Write down strings of digits that are put together from single ones, as they are split."""
    with tempfile.TemporaryDirectory() as folder:
        data = strings(DIGITS, Path(folder) / "data")
        summary, wall = trained(Path(folder), TASK, data, "strings", *COLUMNS, "--recipe", "words")
    title = "Strings of 3 to 7 spoken digits, test takes alone (target WER 0.08, aim 0.04)"
    return _table("digits-strings", title, [_row("words", summary, wall)])


def spelled(folder: Path) -> Path:
    """Unpack AN4 beside its table; return the table."""
    shutil.unpack_archive(SPELLED / "an4_16k_flac.tar", folder, filter="data")
    return Path(shutil.copy(SPELLED / "transcripts.tsv", folder))


def strings(source: Path, folder: Path, seed: int = 0) -> Path:
    """Put single digits together to strings, each of one speaker, with pauses of 0.05 to 0.4 s between them.

    Strings of the test split are made of test takes, the others of training takes; those of validation of
    every tenth take, which training leaves out.

    Returns:
        A table of the files, their transcripts and splits.
    """
    shutil.unpack_archive(next(source.glob("*.zip")), folder / "takes")
    takes = pd.read_csv(source / "meta.csv")
    every_tenth = takes["file"].str.extract(r"_(\d+)\.wav")[0].astype(int) % 10 == 0
    takes.loc[(takes["split"] == "train") & every_tenth, "split"] = "validation"
    random, rows = np.random.default_rng(seed), []
    for split, count in STRINGS.items():
        own = takes[takes["split"] == split]
        speakers = sorted(own["speaker"].unique())
        for number in range(count):
            spoken = own[own["speaker"] == speakers[number % len(speakers)]]
            chosen = spoken.sample(int(random.integers(*LENGTHS)), replace=True, random_state=random)
            name = f"{split}-{number:03}.wav"
            _write(folder / name, [folder / "takes" / file for file in chosen["file"]], random)
            rows.append((name, split, " ".join(NAMES[digit] for digit in chosen["digit"])))
    table = folder / "strings.csv"
    pd.DataFrame(rows, columns=["file", "split", "text"]).to_csv(table, index=False)
    return table


def _write(path: Path, takes: list[Path], random: np.random.Generator) -> None:
    parts = []
    for take in takes:
        samples, rate = soundfile.read(take, dtype="float32")
        pause = np.zeros(int(rate * random.uniform(0.05, 0.4)), np.float32)
        parts += [pause, samples]
    whole = np.concatenate([*parts, parts[0]])
    # A room is never silent.
    noisy = np.clip(whole + random.normal(0, 0.0005, len(whole)), -1, 1).astype(np.float32)
    soundfile.write(path, noisy, rate, subtype="PCM_16")


def latency() -> Table:
    """Ask a server for transcripts of single recordings, with one caller and with eight."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = spelled(Path(folder) / "data")
        # An untrained network takes as long as a trained one.
        quick = ("--set", "training.epochs=1", "--set", "training.min_steps=0")
        summary, _ = trained(Path(folder), TASK, data, "an4", *COLUMNS, *quick)
        takes = sorted(data.parent.rglob("*.flac"))[:60]
        seconds = [soundfile.info(path).duration for path in takes]
        raws = [wave(path.read_bytes()) for path in takes]
        base = Path(summary["release"]).parent
        with Server(Options(port=0, model_name="an4", model_base_path=base)) as server:
            rows = [_asked(server.target, raws, callers) for callers in (1, 8)]
    prose = f"Recordings of {np.mean(seconds):.1f} s on average, one in a request, over gRPC; {machine()}."
    columns = ("callers", "recordings a second", "p50, ms", "p99, ms", "real-time factor")
    shown = [
        (callers, f"{rate:.1f}", f"{p50:.0f}", f"{p99:.0f}", f"{1 / (rate * np.mean(seconds)):.4f}")
        for callers, rate, p50, p99 in rows
    ]
    return Table("transcripts", "Transcripts from a live server, recipe default", prose, columns, shown)


def _asked(target: str, raws: list[bytes], callers: int) -> tuple[int, float, float, float]:
    """Let callers ask for all recordings, each its share; return rate, p50 and p99 in ms."""
    times: list[float] = []

    def work(own: list[bytes]) -> None:
        with Client(target, timeout=600) as client:
            client.predict("an4", {"audio_bytes": own[:1]})
            barrier.wait()
            for raw in own * 3:
                begin = time.perf_counter()
                client.predict("an4", {"audio_bytes": [raw]})
                times.append(1000 * (time.perf_counter() - begin))

    barrier = threading.Barrier(callers + 1)
    threads = [threading.Thread(target=work, args=(raws[number::callers],)) for number in range(callers)]
    for thread in threads:
        thread.start()
    barrier.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    rate = len(times) / (time.perf_counter() - begin)
    return callers, rate, float(np.percentile(times, 50)), float(np.percentile(times, 99))


_COLUMNS = (
    *("recipe", "WER", "95 % interval", "CER", "95 % interval"),
    *("seconds, whole command", "seconds of training"),
)


def _row(label: str, summary: dict, wall: float) -> tuple[str, ...]:
    metrics = summary["metrics"]
    cells = [label]
    for name in ("wer", "cer"):
        low, high = metrics[f"test/{name}_low"], metrics[f"test/{name}_high"]
        cells += [f"{metrics[f'test/{name}']:.3f}", f"{low:.3f} to {high:.3f}"]
    return (*cells, f"{wall:.0f}", f"{summary['seconds']['train']:.0f}")


def _table(name: str, title: str, rows: list[tuple[str, ...]]) -> Table:
    return Table(name, title, f"Through `servable train`; {machine()}.", _COLUMNS, rows)

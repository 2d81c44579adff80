"""What the recipes for music reach on pianos never heard, and how quickly a server answers."""

import io
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import soundfile

from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests.benchmarks.load import measure
from tests.benchmarks.table import SHARED, Table, machine
from tests.benchmarks.trainings import trained

MAPS = SHARED / "data" / "music_maps_piano"
MODULE = ("--set", f"model.backbone={SHARED / 'hub' / 'basic_pitch'}")
COLUMNS = ("--input-column", "file", "--split-column", "split")
#: Callers at a time, and how long they ask.
CALLERS, SECONDS = (1, 8), 30.0


def pianos() -> Table:
    """Write down 14 takes of two pianos that nothing was trained on."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = _unpacked(Path(folder) / "data")
        for recipe, options in (("default", MODULE), ("scratch", ("--recipe", "scratch"))):
            summary, wall = trained(
                Path(folder), "music-transcription", data, f"piano-{recipe}", *COLUMNS, *options
            )
            rows.append(_row(recipe, summary["metrics"], wall))
    columns = ("recipe", "note F1", "95 % interval", "note F1 with offsets", "frame F1", "seconds")
    title = "Two pianos never heard, 14 takes of 20 s (target note F1 0.70 and 0.50, frame F1 0.68 and 0.60)"
    prose = f"Through `servable train`; trained on 42 takes of seven synthetic pianos; {machine()}."
    return Table("pianos", title, prose, columns, rows)


def _unpacked(folder: Path) -> Path:
    shutil.unpack_archive(MAPS / "maps_20s_16k_flac.tar", folder, filter="data")
    return Path(shutil.copy(MAPS / "meta.csv", folder))


def _row(recipe: str, metrics: dict[str, float], wall: float) -> tuple[str, ...]:
    interval = f"{metrics['test/note_f1_low']:.3f} to {metrics['test/note_f1_high']:.3f}"
    others = (f"{metrics[f'test/{name}']:.3f}" for name in ("note_offset_f1", "frame_f1"))
    return (recipe, f"{metrics['test/note_f1']:.3f}", interval, *others, f"{wall:.0f}")


def latency() -> Table:
    """Ask a server for the notes of a take of 20 s, one caller and eight at a time."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = _unpacked(Path(folder) / "data")
        quick = ("--set", "training.epochs=1")
        for recipe, options in (("default", MODULE), ("scratch", ("--recipe", "scratch"))):
            summary, _ = trained(
                Path(folder), "music-transcription", data, f"piano-{recipe}", *COLUMNS, *options, *quick
            )
            take, seconds = _take(data.parent)
            release = Path(summary["release"])
            with Server(Options(port=0, model_name="piano", model_base_path=release.parent)) as server:
                for callers in CALLERS:
                    found = measure(partial(_caller, server.target, take), callers, SECONDS)
                    rows.append(
                        (
                            *(recipe, str(callers), f"{found['p50']:.0f}", f"{found['p99']:.0f}"),
                            *(f"{1 / (found['rate'] * seconds):.4f}", str(int(found["errors"]))),
                        )
                    )
    columns = ("recipe", "callers", "p50, ms", "p99, ms", "real-time factor", "errors")
    prose = f"Over gRPC, roll and list of notes included; {machine()}."
    return Table("transcription", "Notes of a take of 20 s", prose, columns, rows)


def _take(folder: Path) -> tuple[bytes, float]:
    """Return a test take as a WAV file, and its length in seconds."""
    samples, rate = soundfile.read(sorted(folder.rglob("test/*.flac"))[0], dtype="int16")
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="WAV")
    return stream.getvalue(), len(samples) / rate


def _caller(target: str, take: bytes) -> Callable[[], None]:
    client = Client(target, timeout=600)

    def ask() -> None:
        client.predict("piano", {"audio_bytes": [take]})

    return ask

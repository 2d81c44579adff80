"""``servable predict`` of many photos against the server's own throughput, and of one without a server."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from tests.benchmarks.subjects import Subject, subjects
from tests.benchmarks.table import ROOT, Table, machine

PHOTOS = 2000
CALLERS = 32
#: Seconds that the server's own throughput is measured for, before and after.
SECONDS = 5.0
#: What a program does before it can ask a model in process.
BY_HAND = """
import sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
photo = open(sys.argv[2], "rb").read()
print(model.signatures["serving_default"](image_bytes=tf.constant([photo])))
"""


def bulk() -> Table:
    """Measure photos to CSV for a server with and without batching, and one photo in process."""
    with tempfile.TemporaryDirectory() as folder:
        (photo,) = [subject for subject in subjects(Path(folder)) if subject.name == "photo"]
        photos = _photos(photo, Path(folder) / "files")
        rows = [_row(photo, photos, label, flags) for label, flags in _SERVERS]
        rows.append(_alone(photo, Path(folder), photos / "0000.jpg"))
    prose = (
        f"`servable predict default FOLDER --csv FILE` of {PHOTOS:,} photos, MobileNet V2, the command's "
        f"start included, against one-row requests of {CALLERS} callers to the same server, the mean of "
        f"{SECONDS:g} s before and after; `servable predict --local` of one photo against a script that "
        "imports TensorFlow, loads the SavedModel and calls it, in turns, the median of 3. Client and server "
        f"share {machine()}."
    )
    columns = ("what", "photos/s or seconds", "server's own photos/s, or by hand", "ratio", "target")
    return Table("bulk", "Predicting in bulk", prose, columns, rows)


_SERVERS: tuple[tuple[str, list[str]], ...] = (("plain", []), ("batching", ["--enable_batching"]))


def _photos(subject: Subject, folder: Path) -> Path:
    folder.mkdir()
    first = folder / "0000.jpg"
    first.write_bytes(base64.b64decode(subject.rows[0]["b64"]))
    for number in range(1, PHOTOS):
        os.link(first, folder / f"{number:04}.jpg")
    return folder


def _row(subject: Subject, photos: Path, label: str, flags: list[str]) -> tuple[object, ...]:
    with _server(subject, flags) as target:
        before = _own(target, subject)
        table = photos.parent / f"{label}.csv"
        seconds = _command("default", photos, "--csv", table, "--target", target)
        after = _own(target, subject)
    lines = table.read_text().splitlines()
    assert len(lines) == PHOTOS + 1, lines[:3]
    rate, own = PHOTOS / seconds, float(np.mean([before, after]))
    return f"{label} server", round(rate, 1), round(own, 1), round(rate / own, 2), "at least 0.9"


def _own(target: str, subject: Subject) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.load", "grpc", target]
    command += [
        "/tensorflow.serving.PredictionService/Predict",
        str(subject.grpc),
        str(CALLERS),
        str(SECONDS),
    ]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["rate"])


def _command(*arguments: object, **environment: str) -> float:
    command = [sys.executable, "-m", "flows", "predict", *map(str, arguments)]
    begun = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _alone(subject: Subject, folder: Path, photo: Path) -> tuple[object, ...]:
    """Measure one photo without a server."""
    from serving.repository.repository import Repository

    workspace = folder / "workspace"
    Repository(workspace / "repository").publish("photo", subject.path, {})
    script = folder / "by_hand.py"
    script.write_text(BY_HAND)
    ours, by_hand = [], []
    for _ in range(3):
        ours.append(_command("photo", photo, "--local", "--workspace", workspace))
        begun = time.perf_counter()
        command = [sys.executable, str(script), str(subject.path), str(photo)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        by_hand.append(time.perf_counter() - begun)
    seconds, other = median(ours), median(by_hand)
    return (
        "one photo, `--local`",
        round(seconds, 2),
        round(other, 2),
        round(seconds / other, 2),
        "at most 1.3",
    )


@contextmanager
def _server(subject: Subject, flags: list[str]) -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "serving",
        "--port=0",
        f"--model_base_path={subject.path.parent}",
        *flags,
    ]
    started = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert started.stdout is not None
        yield started.stdout.readline().split()[1]
    finally:
        started.terminate()
        started.wait(60)

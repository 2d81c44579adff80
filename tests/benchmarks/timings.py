"""What a command costs before it does anything: processor time of small commands and of usage errors."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from serving.repository.repository import Repository
from tests.benchmarks.bulk import _server
from tests.benchmarks.subjects import Subject
from tests.benchmarks.table import ROOT, Table, machine

TURNS = 3
MODELS = 20
DATA = ("--data", ".", "--name", "x")
#: Usage errors, the slowest of which is shown.
MISTAKES: tuple[tuple[str, ...], ...] = (
    ("predict",),
    ("train", "image-clasification", *DATA),
    ("train", "image-classification", *DATA, "--set", "training.patiense=3"),
    ("train", "image-classification", "--data", "nosuch", "--name", "x"),
    ("tune", "image-classification", *DATA, "--set", "epoch=1,2"),
    ("schedule", "image-classification", *DATA, "--cron", "0 3"),
    ("report", "nosuch"),
)


def timings() -> Table:
    """Measure commands by their processor time, which other work on the machine hardly changes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = _echo(folder / "echo" / "1")
        repository = Repository(folder / "workspace" / "repository")
        for number in range(MODELS):
            repository.publish(f"model-{number}", model.path, {"metric": "x", "metrics": {"x": 0.5}})
        with _server(model, []) as target:
            lines = {
                "`--help`": (("--help",), 0.2),
                f"`models`, {MODELS} models": (("models",), 0.5),
                "`recipes image-classification cnn`": (("recipes", "image-classification", "cnn"), 0.5),
                "`predict` to a running server": (
                    ("predict", "default", "--text", "hello", "--target", target),
                    1.5,
                ),
            }
            rows = [
                (what, _figure(_seconds(folder, line, code=0)), f"{most} s")
                for what, (line, most) in lines.items()
            ]
        slowest = max(_seconds(folder, line, code=None) for line in MISTAKES)
    rows.append((f"a mistake, the slowest of {len(MISTAKES)}", _figure(slowest), "1 s"))
    prose = (
        "Processor time (user and system) of `servable COMMAND`, from the start of the interpreter to its "
        f"end; the median of {TURNS}; {machine()}."
    )
    return Table("timings", "Small commands", prose, ("command", "seconds", "target"), rows)


def _echo(path: Path) -> Subject:
    """Save a model that answers a text with itself."""
    import tensorflow as tf

    class Echo(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def answer(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"label": text, "score": tf.ones(tf.shape(text))}

    module = Echo()
    tf.saved_model.save(module, str(path), {"serving_default": module.answer})
    return Subject("echo", path, "text", ["hello"])


def _figure(seconds: float) -> str:
    return f"{seconds:.2f}"


def _seconds(folder: Path, line: Sequence[str], *, code: int | None) -> float:
    return median(_once(folder, line, code) for _ in range(TURNS))


def _once(folder: Path, line: Sequence[str], code: int | None) -> float:
    """Run a command; its exit code is to be the one given, or any but 0."""
    environment = os.environ | {"SERVABLE_WORKSPACE": str(folder / "workspace")}
    # As installed and used before: with modules compiled.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "flows", *line],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == code or (code is None and done.returncode), line
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

"""What translation reaches on real sentence pairs, and how quickly it answers one caller and eight."""

import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from models.export.export import stacked
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests.benchmarks import pairs
from tests.benchmarks.load import measure
from tests.benchmarks.table import SHARED, Table, machine
from tests.benchmarks.trainings import trained

PAIRS = SHARED / "data" / "translation_eng_fra"
COLUMNS = ("--input-column", "english", "--target-column", "french", "--split-column", "split")
#: Overrides of a training that only makes a model to be asked, and seconds that callers ask.
QUICK = ("--set", "training.epochs=1", "--set", "training.min_steps=0")
SECONDS = 10.0


def sentences() -> Table:
    """Translate 2,000 English sentences into French, with both recipes."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = pairs.write(PAIRS, Path(folder) / "pairs.tsv")
        for recipe in ("default", "gru"):
            options = ("--recipe", recipe, *COLUMNS)
            summary, wall = trained(Path(folder), "translation", data, recipe, *options)
            rows.append(_row(recipe, summary["metrics"], wall))
            rows.append(_greedy(f"{recipe}, greedy", Path(summary["release"]), data))
    columns = ("recipe", "BLEU", "95 % interval", "chrF", "BLEU, all targets", "seconds")
    title = "2,000 sentences from English into French (target BLEU 30, aim 38)"
    return Table("translations", title, f"Through `servable train`; {machine()}.", columns, rows)


def _row(label: str, metrics: dict, wall: float) -> tuple[str, ...]:
    interval = f"{metrics['test/bleu_low']:.1f} to {metrics['test/bleu_high']:.1f}"
    others = (f"{metrics[f'test/{name}']:.1f}" for name in ("chrf", "bleu_all_targets"))
    return (label, f"{metrics['test/bleu']:.1f}", interval, *others, f"{wall:.0f}")


def _greedy(label: str, release: Path, table: Path) -> tuple[str, ...]:
    """Measure the greedy signature, which must nowhere score above the beam."""
    from models.evaluation.measures.translations import evaluate

    rows = [row.split("\t") for row in table.read_text().splitlines()[1:]]
    rows = [row for row in rows if row[2] == "test"]
    functions = tf.saved_model.load(str(release)).signatures
    begin = time.perf_counter()
    greedy, beam = (
        stacked(
            [
                {name: value.numpy() for name, value in function(text=tf.constant(part)).items()}
                for part in ([row[0] for row in rows[at : at + 64]] for at in range(0, len(rows), 64))
            ]
        )
        for function in (functions["greedy"], functions["serving_default"])
    )
    wall = time.perf_counter() - begin
    assert (beam["score"] >= greedy["score"] - 1e-5).all()
    found = evaluate(
        [row[1] for row in rows],
        [text.decode() for text in greedy["text"]],
        [row[0] for row in rows],
        np.array([len(row[0]) for row in rows]),
    )
    return _row(label, found.metrics, wall)


def latency() -> Table:
    """Ask a server for translations, one caller and eight."""
    with tempfile.TemporaryDirectory() as folder:
        data = pairs.write(PAIRS, Path(folder) / "pairs.tsv")
        summary, _ = trained(Path(folder), "translation", data, "pairs", *COLUMNS, *QUICK)
        release = Path(summary["release"])
        rows = _timed(release, [row.split("\t")[0] for row in data.read_text().splitlines()[1:2001]])
    columns = ("signature", "callers", "sentences a second", "p50, ms", "p99, ms")
    title = "Translations over gRPC: English sentences of 2 to 12 words"
    return Table("translation-latency", title, f"{machine()}.", columns, rows)


def _timed(release: Path, texts: list[str]) -> list[tuple[str, ...]]:
    rows = []
    options = Options(port=0, model_name="pairs", model_base_path=release.parent)
    with Server(options) as server, Client(server.target, timeout=600) as client:
        for signature in ("serving_default", "greedy"):

            def make(signature: str = signature):
                remaining = iter(texts * 1000)
                return lambda: client.predict("pairs", {"text": [next(remaining)]}, signature=signature)

            for callers in (1, 8):
                found = measure(make, callers, SECONDS)
                assert not found["errors"]
                times = (f"{found[name]:.1f}" for name in ("rate", "p50", "p99"))
                rows.append((signature, str(callers), *times))
    return rows

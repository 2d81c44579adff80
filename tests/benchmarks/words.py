"""Word vectors: what the recipes reach on real text, and how fast, against gensim called directly."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from features.counts import choose
from features.texts import words
from features.texts.tokenizer import totals
from features.texts.words import WordTokenizer
from models.words import word2vec
from models.words.word2vec import Word2VecSettings, WordTrainingSettings
from tests.benchmarks import subjects
from tests.benchmarks.table import SHARED, Table, machine
from tests.benchmarks.trainings import trained

CORPUS = SHARED / "data" / "corpus_text"
TEXTS = ("wikipedia_articles.txt", "wikitext2_valid.txt", "wikitext2_test.txt", "war_and_peace.txt")
TASK = "word-vectors"
#: What is done once for a training weighs little on so many passes, as on a real one's 30.
EPOCHS = 5
#: Questions timed; the first 20 are not counted.
QUESTIONS = 200


def vectors() -> Table:
    """Train both recipes on all four texts with one thread, and measure them on the standard tests."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = gathered(folder / "corpus")
        for recipe, target in (("skip-gram", "WordSim-353 0.57"), ("cbow", "analogies 0.135")):
            options = ("--recipe", recipe, "--set", "featurizer.wrapped=80")
            summary, wall = trained(folder, TASK, data, recipe, *options)
            rows.append(_row(f"{recipe} (target: {target})", summary, wall))
    columns = (
        *("recipe", "WordSim-353 (pairs)", "SimLex-999 (pairs)", "analogies (known)"),
        *("seconds, whole command", "seconds of training"),
    )
    return Table(
        "word-vectors",
        "Word vectors",
        f"Through `servable train --set featurizer.wrapped=80`, one thread; {machine()}.",
        columns,
        rows,
    )


def gathered(folder: Path) -> Path:
    """Copy the texts of the corpus into a folder of their own."""
    folder.mkdir()
    for text in TEXTS:
        shutil.copyfile(CORPUS / text, folder / text)
    return folder


def _row(label: str, summary: dict[str, Any], wall: float) -> tuple[str, ...]:
    m = summary["metrics"]
    return (
        label,
        *(
            f"{m[f'eval/{name}_spearman']:.4f} ({m[f'eval/{name}_pairs']:.0f})"
            for name in ("wordsim353", "simlex999")
        ),
        f"{m['eval/analogies']:.4f} ({m['eval/analogies_known']:.0f})",
        f"{wall:.0f}",
        f"{summary['seconds']['train']:.0f}",
    )


def speed() -> Table:
    """Compare words a second with gensim called directly, and time questions to 20,000 words over gRPC."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens, counts, total = _cut(folder)
        for architecture in ("skip-gram", "cbow"):
            # Turn by turn, so that a machine that is slower for a while is so for both.
            times = [_trained(folder, tokens, counts, total, architecture, turn) for turn in range(2)]
            ours, theirs = (total * EPOCHS / min(pair) for pair in zip(*times, strict=True))
            rows.append(
                (f"{architecture}, words a second", f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}")
            )
        p50, p99, bare = _asked(folder)
        rows.append(
            ("most_similar of 20,000 words, ms (p50; p99)", f"{p50:.2f}; {p99:.2f}", f"{bare:.2f}", "")
        )
    prose = (
        f"{EPOCHS} epochs over {total:,} words, 300 dimensions, two threads each, against gensim's Word2Vec "
        "on the same file (target 0.95); one caller asks the live server for 10 neighbours of one word, 300 "
        f"dimensions (target 5 ms), against gensim's KeyedVectors in process; {machine()}."
    )
    return Table("words", "Speed of word vectors", prose, ("work", "Servable", "gensim", "ratio"), rows)


def _cut(folder: Path) -> tuple[Path, dict[str, int], int]:
    def lines() -> Any:
        for text in TEXTS:
            yield from (line for line in (CORPUS / text).read_bytes().splitlines() if line.strip())

    cut = list(words.cut(WordTokenizer(), lines()))
    words.write(cut, folder / "words.txt")
    counts = totals(cut)
    return folder / "words.txt", {word: counts[word] for word in choose(counts, 5)}, counts.total()


def _trained(
    folder: Path, tokens: Path, counts: dict[str, int], total: int, architecture: str, turn: int
) -> tuple[float, float]:
    from gensim.models import Word2Vec

    model = Word2VecSettings(kind="word2vec", architecture=architecture)
    settings = WordTrainingSettings(epochs=EPOCHS, workers=2, reproducible=False)
    place = folder / f"{architecture}-{turn}"
    begin = time.perf_counter()
    word2vec.train(tokens, counts, total, model=model, settings=settings, checkpoints=place, seed=0)
    ours = time.perf_counter() - begin
    begin = time.perf_counter()
    network = Word2Vec(
        sg=int(architecture == "skip-gram"), vector_size=300, window=10, negative=10, sample=1e-4, workers=2
    )
    network.build_vocab_from_freq(counts)
    network.train(corpus_file=str(tokens), total_words=total, epochs=EPOCHS)
    return ours, time.perf_counter() - begin


def _asked(folder: Path) -> tuple[float, float, float]:
    from models.evaluation.measures.words import keyed
    from serving.client.client import Client
    from serving.config import Options
    from serving.server.server import Server

    path = subjects.words(folder).path
    with (
        Server(Options(port=0, model_name="words", model_base_path=path.parent)) as server,
        Client(server.target) as client,
    ):
        live = [_timed(lambda n=number: _ask(client, n)) for number in range(QUESTIONS)][20:]
    vectors = np.random.default_rng(0).normal(size=(20_000, 300)).astype(np.float32)
    known = keyed([f"word{number}" for number in range(20_000)], vectors)
    bare = [_timed(lambda n=number: known.most_similar(f"word{n}")) for number in range(QUESTIONS)][20:]
    return float(np.median(live)), float(np.percentile(live, 99)), float(np.median(bare))


def _ask(client: Any, number: int) -> None:
    asked = {"word": np.array([f"word{number}".encode()], object), "k": np.array([10], np.int32)}
    client.predict("words", asked, signature="most_similar")


def _timed(work: Any) -> float:
    begin = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begin)

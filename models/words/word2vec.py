"""Train word vectors with gensim's word2vec, epoch by epoch, so that a training can go on after a cut.

Skip-gram and CBOW with negative sampling or hierarchical softmax: Mikolov et al. 2013. Words are read from
a file by gensim's compiled reader, so the corpus may be larger than memory.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from features.settings import Settings
from features.spec import Progress, silent
from models.training.recovery.checkpoint import Checkpoints
from models.training.recovery.interruption import TrainingInterruptedError, listening
from models.words.loss import Loss

#: Seconds between checkpoints: what a cut costs at most, beside the epoch under way. Writing one to the disk
#: for good takes as long as a tenth of a short epoch.
_CHECKPOINT_SECONDS = 30.0

OnEpoch = Callable[[int, dict[str, float]], None]


class _Held:
    """An array of gensim's model as the checkpoints see a variable."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape = array, array.shape

    def assign(self, value: np.ndarray) -> None:
        self.array[...] = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array


def workers(settings: Any) -> int:
    """Return the number of training threads: one if the vectors must be reproducible."""
    return 1 if settings.reproducible else settings.workers


def train(
    tokens: Path,
    counts: Mapping[str, int],
    total: int,
    *,
    model: Any,
    settings: Any,
    checkpoints: Path,
    seed: int,
    progress: Progress = silent,
    on_epoch: OnEpoch = lambda epoch, metrics: None,
    on_resume: Callable[[int], None] = lambda epoch: None,
) -> np.ndarray:
    """Train, or go on from the newest checkpoint.

    Args:
        tokens: file of words, a text a line, blanks between.
        counts: of each word of the vocabulary, the most frequent first.
        total: words in the file, those beyond the vocabulary included.
        model: the recipe's model section (``Word2VecSettings``).
        settings: its training section.
        checkpoints: folder of this training's checkpoints.
        seed: of vectors and sampling.
        progress: called with stage ``train`` and hundredths of an epoch.
        on_epoch: called with each epoch's number, from 1, and its metrics.
        on_resume: called with the number of the epoch that a training goes on with.

    Returns:
        float32 [words, dimensions], in the order of ``counts``.

    Raises:
        TrainingInterruptedError: Ctrl-C or SIGTERM; the state of the last epoch is kept.
        StorageError: a checkpoint cannot be written.
    """
    network = _network(counts, model, settings, seed)
    held = [_Held(network.wv.vectors), _Held(network.syn1 if model.hierarchical_softmax else network.syn1neg)]
    store = Checkpoints(checkpoints)
    state = store.restore(held) or {"epoch": 0}
    if state["epoch"]:
        network.random.set_state(_unpacked(state["random"]))
        on_resume(state["epoch"] + 1)
    loss = Loss(tokens, list(counts), network, seed)
    saved = time.monotonic()
    with listening() as bell:
        for epoch in range(state["epoch"] + 1, settings.epochs + 1):
            begin = time.monotonic()
            with _told(progress, epoch, settings.epochs):
                _one_epoch(network, tokens, total, epoch, settings)
            seconds = time.monotonic() - begin
            on_epoch(
                epoch, {"loss": loss(), "seconds": seconds, "words_per_second": total / max(seconds, 1e-9)}
            )
            progress("train", 100 * epoch, 100 * settings.epochs)
            due = time.monotonic() - saved > _CHECKPOINT_SECONDS
            if due or epoch == settings.epochs or bell.rung is not None:
                store.save((epoch, 0), held, {"epoch": epoch, "random": _packed(network.random.get_state())})
                saved = time.monotonic()
            if bell.rung is not None and epoch < settings.epochs:
                raise TrainingInterruptedError(bell.rung, f"the end of epoch {epoch}")
    vectors = np.array(network.wv.vectors, np.float32)
    if model.common_components is not None:
        vectors = without_common(vectors, model.common_components)
    return vectors if model.singular_power == 1 else with_power(vectors, model.singular_power)


def without_common(vectors: np.ndarray, components: int) -> np.ndarray:
    """Take away what all words have in common: it says how frequent a word is rather than what it means.

    The mean and the first principal components (Mu and Viswanath 2018, "All-but-the-Top").

    Args:
        vectors: float32 [words, dimensions].
        components: how many; 0 takes away the mean alone.

    Returns:
        float32 [words, dimensions].
    """
    centred = vectors - vectors.mean(0, dtype=np.float64).astype(np.float32)
    _, axes = np.linalg.eigh(centred.T @ centred)
    top = axes[:, max(0, axes.shape[1] - components) :]
    return centred - (centred @ top) @ top.T


def with_power(vectors: np.ndarray, power: float) -> np.ndarray:
    """Raise the singular values of vectors to a power: beyond 1, what many words differ in counts more.

    The linear transformation of Artetxe et al. 2018 ("Uncovering divergent linguistic information in word
    embeddings"), whose similarity order is (power - 1) / 2; here of the centred vectors.

    Args:
        vectors: float32 [words, dimensions].
        power: above 0; 1 changes nothing but the mean.

    Returns:
        float32 [words, dimensions], centred, of the same variance and along the same axes.
    """
    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred)
    # What was taken away before is zero up to rounding: a power below 1 must not bring it back.
    there = variances > 1e-9 * variances[-1]
    factors = np.where(there, np.where(there, variances, 1.0) ** ((power - 1) / 2), 0.0)
    factors *= np.sqrt(variances[there].sum() / max((variances * factors**2)[there].sum(), 1e-300))
    return (centred @ (axes * factors) @ axes.T).astype(np.float32)


def _network(counts: Mapping[str, int], model: Any, settings: Any, seed: int) -> Any:
    from gensim.models import Word2Vec

    network = Word2Vec(
        sg=int(model.architecture == "skip-gram"),
        hs=int(model.hierarchical_softmax),
        negative=0 if model.hierarchical_softmax else model.negative,
        vector_size=model.dimensions,
        window=model.window,
        shrink_windows=model.shrink_windows,
        sample=model.sample,
        ns_exponent=model.ns_exponent,
        cbow_mean=int(model.cbow_mean),
        alpha=settings.learning_rate,
        min_alpha=settings.final_learning_rate,
        min_count=1,
        seed=seed,
        workers=workers(settings),
        sorted_vocab=0,  # The vocabulary comes sorted, ties in an order of ours.
    )
    network.build_vocab_from_freq(dict(counts), corpus_count=1)
    return network


def _one_epoch(network: Any, tokens: Path, total: int, epoch: int, settings: Any) -> None:
    """Pass over the file once; the learning rate falls in a straight line over all epochs."""
    fall = (settings.learning_rate - settings.final_learning_rate) / settings.epochs
    network.train(
        corpus_file=str(tokens),
        total_words=total,
        epochs=1,
        start_alpha=settings.learning_rate - fall * (epoch - 1),
        end_alpha=settings.learning_rate - fall * epoch,
        report_delay=1.0,
    )


class _told(logging.Handler):  # noqa: N801 - used as a context manager, like contextlib's
    """Pass on how far gensim is within an epoch: it says so in its log alone."""

    def __init__(self, progress: Progress, epoch: int, epochs: int) -> None:
        super().__init__(logging.INFO)
        self._progress, self._done, self._all = progress, 100 * (epoch - 1), 100 * epochs
        self._log = logging.getLogger("gensim.models.word2vec")

    def emit(self, record: logging.LogRecord) -> None:
        """Take the share of words done from a line of progress."""
        if "PROGRESS" in str(record.msg) and isinstance(record.args, tuple) and len(record.args) > 1:
            share = record.args[1]
            if isinstance(share, (int, float)):
                self._progress("train", self._done + min(99, int(share)), self._all)

    def __enter__(self) -> None:
        self._before = (self._log.level, self._log.propagate)
        self._log.setLevel(logging.INFO)
        self._log.propagate = False
        self._log.addHandler(self)

    def __exit__(self, *error: object) -> None:
        self._log.removeHandler(self)
        self._log.level, self._log.propagate = self._before


def _packed(state: Sequence[Any]) -> list[Any]:
    return [state[0], np.asarray(state[1]).tolist(), *state[2:]]


def _unpacked(state: Sequence[Any]) -> tuple[Any, ...]:
    return (state[0], np.array(state[1], np.uint32), *state[2:])


class Word2VecSettings(Settings):
    """word2vec; the names are gensim's where it has one."""

    kind: Literal["word2vec"] = Field(description="learnt from the corpus by word2vec")
    architecture: Literal["skip-gram", "cbow"] = Field(
        "skip-gram", description="skip-gram predicts neighbours from a word, cbow a word from its neighbours"
    )
    dimensions: int = Field(300, ge=1, le=4096, description="dimensions of a vector")
    window: int = Field(10, ge=1, le=1000, description="context words on either side")
    shrink_windows: bool = Field(True, description="whether the size of each window is random, up to that")
    negative: int = Field(10, ge=1, le=1000, description="negative samples per pair")
    ns_exponent: float = Field(0.75, description="exponent of the frequencies in negative sampling")
    hierarchical_softmax: bool = Field(False, description="hierarchical softmax instead of negative sampling")
    sample: float = Field(1e-4, ge=0, le=1, description="frequency above which words are downsampled")
    cbow_mean: bool = Field(True, description="whether cbow uses the mean of the context, or the sum")
    common_components: int | None = Field(
        None,
        ge=0,
        description="principal components to remove afterwards, with the mean; null for none",
    )
    singular_power: float = Field(
        1.0, gt=0, le=4, description="power of the singular values, applied afterwards; 1 for none"
    )


class WordTrainingSettings(Settings):
    """How word vectors are trained."""

    epochs: int = Field(30, ge=1, description="passes over the corpus")
    learning_rate: float = Field(0.025, gt=0, description="initial learning rate; decays linearly")
    final_learning_rate: float = Field(1e-4, gt=0, description="final learning rate")
    workers: int = Field(1, ge=1, le=256, description="threads; more than one only if reproducible is false")
    reproducible: bool = Field(
        True, description="whether the same seed gives the same vectors; needs a single thread"
    )

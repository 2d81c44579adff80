"""Measure word vectors on the standard tests, with gensim and the files that come with it.

WordSim-353 (Finkelstein et al. 2002), SimLex-999 (Hill, Reichart and Korhonen 2015), and the analogies of
Mikolov et al. 2013. All are in English: what is not in the vocabulary is left out and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

#: Fewer known pairs than this give no correlation worth a number.
FEWEST = 10

PAIRS = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}
ANALOGIES = "questions-words.txt"


@dataclass(frozen=True)
class Evaluation:
    """What word vectors are worth.

    Attributes:
        metrics: ``eval/wordsim353_spearman`` and ``eval/simlex999_spearman`` (in -1 to 1) where enough pairs
            are known, ``eval/..._pairs`` how many are; ``eval/analogies`` the share answered right of those
            whose words are all known, ``eval/analogies_known`` how many those are.
        analogies: of each section its name, the questions right, and those known.
    """

    metrics: dict[str, float]
    analogies: list[tuple[str, int, int]] = field(default_factory=list)


def keyed(words: Sequence[str], vectors: np.ndarray) -> Any:
    """Hand vectors [words, d] to gensim."""
    from gensim.models import KeyedVectors

    keyed_vectors = KeyedVectors(vectors.shape[1], count=0)
    keyed_vectors.add_vectors(list(words), vectors)
    return keyed_vectors


def evaluate(words: Sequence[str], vectors: np.ndarray) -> Evaluation:
    """Measure vectors float32 [words, d] of words in the order of their frequency."""
    keyed_vectors = keyed(words, vectors)
    metrics: dict[str, float] = {}
    # Without regard to case, as gensim's tests are: the first spelling counts. As they do, too, they look at
    # the most frequent 300,000 words.
    vocabulary = {word.upper() for word in words[:300_000]}
    for name, file in PAIRS.items():
        pairs = _pairs(_shipped(file))
        there = sum(first.upper() in vocabulary and second.upper() in vocabulary for first, second in pairs)
        metrics[f"eval/{name}_pairs"] = there
        if there >= FEWEST:
            _, spearman, _ = keyed_vectors.evaluate_word_pairs(str(_shipped(file)))
            metrics[f"eval/{name}_spearman"] = float(spearman.statistic)
    share, sections = keyed_vectors.evaluate_word_analogies(str(_shipped(ANALOGIES)))
    rows = [(part["section"], len(part["correct"]), len(part["incorrect"])) for part in sections]
    analogies = [(name, right, right + wrong) for name, right, wrong in rows if right + wrong]
    counts = [count for name, _, count in analogies if name != "Total accuracy"]
    metrics["eval/analogies_known"] = sum(counts)
    if sum(counts):
        metrics["eval/analogies"] = float(share)
    return Evaluation(metrics, [row for row in analogies if row[0] != "Total accuracy"])


def _shipped(name: str) -> Path:
    from gensim.test.utils import datapath

    return Path(datapath(name))


def _pairs(path: Path) -> list[tuple[str, str]]:
    """Read the pairs of a file of word, word and score, as gensim does: without comments."""
    rows = [
        line.split("\t")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line[:1] not in ("#", "")
    ]
    return [(row[0], row[1]) for row in rows if len(row) == 3 and _is_number(row[2])]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

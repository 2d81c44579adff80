"""The loss of word vectors on fixed pairs of words.

gensim adds its own up in single precision, where a large corpus stops counting, and in each thread for
itself. Here the negative log-likelihood is taken over the same few thousand pairs, with the same negatives,
after every epoch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: Pairs measured, and words of the file's beginning that they are drawn from.
PAIRS, _READ = 2048, 50_000


class Loss:
    """Mean negative log-likelihood of a word beside its neighbours, in nats.

    Args:
        tokens: file of words, a text a line.
        vocabulary: in the order of the model's ids.
        model: gensim's Word2Vec; its arrays are read again at every call.
        seed: of the choice of pairs and negatives.
    """

    def __init__(self, tokens: Path, vocabulary: Sequence[str], model: Any, seed: int) -> None:
        self._model = model
        random = np.random.default_rng(seed)
        texts = _texts(tokens, {word.encode(): number for number, word in enumerate(vocabulary)})
        self._centres, self._contexts = _windows(texts, model.window, random)
        if model.negative:
            share = np.array([model.wv.get_vecattr(word, "count") for word in vocabulary], np.float64)
            share **= model.ns_exponent
            size = (len(self._centres), model.negative)
            self._negatives = random.choice(len(vocabulary), size, p=share / share.sum())

    def __call__(self) -> float:
        """Measure the model as it is now; NaN where the corpus has no two known words side by side."""
        if not len(self._centres):
            return float("nan")
        parts = np.array_split(np.arange(len(self._centres)), 1 + len(self._centres) // 1024)
        return float(np.concatenate([self._of(rows) for rows in parts]).mean())

    def _of(self, rows: np.ndarray) -> np.ndarray:
        inputs = self._inputs(self._contexts[rows])
        centres = self._centres[rows]
        if not self._model.negative:
            return self._hierarchical(inputs, centres)
        outputs = self._model.syn1neg
        right = np.einsum("nd,nd->n", inputs, outputs[centres])
        wrong = np.einsum("nd,nkd->nk", inputs, outputs[self._negatives[rows]])
        return np.logaddexp(0, -right) + np.logaddexp(0, wrong).sum(1)

    def _inputs(self, contexts: np.ndarray) -> np.ndarray:
        """Return what predicts the centre: a neighbour's vector, or for CBOW the mean or sum of all."""
        vectors = self._model.wv.vectors
        if self._model.sg:
            return vectors[contexts[:, 0]]
        there = contexts >= 0
        total = np.einsum("nkd,nk->nd", vectors[np.maximum(contexts, 0)], there.astype(np.float32))
        return total / there.sum(1, keepdims=True) if self._model.cbow_mean else total

    def _hierarchical(self, inputs: np.ndarray, centres: np.ndarray) -> np.ndarray:
        codes, points = (self._model.wv.expandos[name] for name in ("code", "point"))
        losses = []
        for vector, centre in zip(inputs, centres, strict=True):
            way = self._model.syn1[points[centre]] @ vector
            losses.append(np.logaddexp(0, -(1 - 2.0 * codes[centre]) * way).sum())
        return np.array(losses)


def _texts(tokens: Path, ids: dict[bytes, int]) -> list[np.ndarray]:
    """Read the ids of the first words of the file, by text; unknown words are left out, as in training."""
    texts, read = [], 0
    with tokens.open("rb") as lines:
        for line in lines:
            words = line.split()
            read += len(words)
            texts.append(np.array([ids[word] for word in words if word in ids], np.int64))
            if read >= _READ:
                break
    return [text for text in texts if len(text) > 1]


def _windows(
    texts: list[np.ndarray], window: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose centres [n], and of each its neighbours [n, 2 * window] in random order, -1 beyond the last."""
    places = [(text, centre) for text in texts for centre in range(len(text))]
    chosen = random.permutation(len(places))[:PAIRS]
    centres = np.empty(len(chosen), np.int64)
    contexts = np.full((len(chosen), 2 * window), -1, np.int64)
    for row, place in enumerate(chosen):
        text, centre = places[place]
        near = np.concatenate(
            [text[max(0, centre - window) : centre], text[centre + 1 : centre + 1 + window]]
        )
        centres[row] = text[centre]
        contexts[row, : len(near)] = random.permutation(near)
    return centres, contexts

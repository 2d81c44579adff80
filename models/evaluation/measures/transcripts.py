"""What recognised speech is worth: word and character error rates, and which words are confused.

Pure functions of two lists of texts, aligned by jiwer. Nothing here knows files, models or tracking.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jiwer
import numpy as np
import pandas as pd

from features.datasets.dataset import Dataset
from features.errors import DataError
from models.evaluation.uncertainty import Interval
from models.task import Evaluator

#: Answers that are logged, the worst first, and pairs of words.
LOGGED = 200
CONFIDENCE = 0.95
#: What jiwer calls the kinds of chunks of an alignment.
EQUAL, SUBSTITUTED, DELETED, INSERTED = "equal", "substitute", "delete", "insert"


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one split.

    Attributes:
        split: the split's name, such as ``test``.
        metrics: flat figures by tracked name, such as ``test/wer``.
        interval: the word error rate with its interval.
        references: the true transcripts.
        answers: what was recognised.
        worst: position ``row``, ``reference``, ``answer``, word ``errors`` and ``words`` of each example, the
            one with most errors first.
        confused: ``said``, ``recognised`` (one of them empty where a word is missing or added) and ``times``.
    """

    split: str
    metrics: dict[str, float]
    interval: Interval
    references: tuple[str, ...]
    answers: tuple[str, ...]
    worst: pd.DataFrame
    confused: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What is logged beside the figures."""
        return {"worst": self.worst.head(LOGGED), "confused_words": self.confused.head(LOGGED)}


def read(outputs: Mapping[str, np.ndarray], labels: Sequence[str]) -> np.ndarray:
    """Return the texts of the answers."""
    return np.array([text.decode() for text in outputs["text"]], np.str_)


def of_dataset(dataset: Dataset, answers: np.ndarray) -> Evaluation:
    """Measure the answers to a dataset's measured examples, in their order; whole blocks are resampled."""
    measured = dataset.measured
    blocks = measured["block"].to_numpy() if "block" in measured else None
    return evaluate(list(measured["target"]), [str(answer) for answer in answers], blocks=blocks)


def evaluate(
    references: Sequence[str],
    answers: Sequence[str],
    *,
    blocks: np.ndarray | None = None,
    split: str = "test",
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure everything this module knows.

    Args:
        references: the true transcripts, none of them empty.
        answers: as many texts.
        blocks: name of each example's block, such as its speaker, resampled as a whole; None resamples the
            examples.
        split: prefix of the metric names.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: the two are not equally many, or there are none.
    """
    if len(references) != len(answers) or not references:
        raise DataError(
            "answers do not match the transcripts",
            got=f"{len(answers)} answers",
            expected=f"{len(references)}, at least one",
        )
    by_word = jiwer.process_words(list(references), list(answers))
    by_character = jiwer.process_characters(list(references), list(answers))
    counts = np.stack([_counts(by_word), _counts(by_character)], axis=1)
    units = np.arange(len(references)) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    drawn = _resampled(counts, units, resamples, seed)
    tail = (1 - CONFIDENCE) / 2
    figures: dict[str, float] = {}
    for place, name in enumerate(("wer", "cer")):
        errors, said = counts[:, place].sum(axis=0)
        low, high = np.quantile(drawn[:, place], [tail, 1 - tail])
        figures |= {name: errors / said, f"{name}_low": float(low), f"{name}_high": float(high)}
    wrong = np.array([one != other for one, other in zip(references, answers, strict=True)])
    figures |= {
        "sentence_error_rate": float(wrong.mean()),
        "substitutions": float(by_word.substitutions),
        "deletions": float(by_word.deletions),
        "insertions": float(by_word.insertions),
        "words": float(counts[:, 0, 1].sum()),
        "examples": float(len(references)),
    }
    interval = Interval("wer", figures["wer"], figures["wer_low"], figures["wer_high"], CONFIDENCE, resamples)
    return Evaluation(
        split,
        {f"{split}/{name}": float(value) for name, value in figures.items()},
        interval,
        tuple(references),
        tuple(answers),
        _worst(references, answers, counts[:, 0]),
        confusions(by_word),
    )


def chunks(reference: str, answer: str) -> list[tuple[str, str, str]]:
    """Align two texts by word.

    Returns:
        Chunks: their kind, the words that were said, and those that were recognised.
    """
    aligned = jiwer.process_words([reference], [answer])
    said, recognised = aligned.references[0], aligned.hypotheses[0]
    return [
        (
            chunk.type,
            " ".join(said[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(recognised[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in aligned.alignments[0]
    ]


def confusions(aligned: Any) -> pd.DataFrame:
    """Count which words were taken for which, missed or added: columns said, recognised and times."""
    pairs: Counter[tuple[str, str]] = Counter()
    for said, heard, alignment in zip(
        aligned.references, aligned.hypotheses, aligned.alignments, strict=True
    ):
        for chunk in alignment:
            if chunk.type != EQUAL:
                one = said[chunk.ref_start_idx : chunk.ref_end_idx]
                other = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
                for place in range(max(len(one), len(other))):
                    pairs["".join(one[place : place + 1]), "".join(other[place : place + 1])] += 1
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return pd.DataFrame([(*pair, times) for pair, times in ordered], columns=["said", "recognised", "times"])


def _counts(aligned: Any) -> np.ndarray:
    """Return errors and true length of each example: [examples, 2]."""
    rows = []
    for reference, alignment in zip(aligned.references, aligned.alignments, strict=True):
        errors = sum(
            max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
            for chunk in alignment
            if chunk.type != EQUAL
        )
        rows.append((errors, len(reference)))
    return np.array(rows, np.float64)


def _resampled(counts: np.ndarray, units: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return the rates on each resample of the units: [resamples, rates]."""
    sums = np.zeros((units.max() + 1, *counts.shape[1:]))
    np.add.at(sums, units, counts)
    random = np.random.default_rng(seed)
    often = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    drawn = np.tensordot(often.astype(np.float64), sums, axes=1)
    return drawn[..., 0] / np.maximum(drawn[..., 1], 1)


def _worst(references: Sequence[str], answers: Sequence[str], counts: np.ndarray) -> pd.DataFrame:
    rows = np.argsort(-counts[:, 0], kind="stable")
    return pd.DataFrame(
        {
            "row": rows,
            "reference": [references[row] for row in rows],
            "answer": [answers[row] for row in rows],
            "errors": counts[rows, 0].astype(int),
            "words": counts[rows, 1].astype(int),
        }
    )


TRANSCRIPTS = Evaluator(read, of_dataset)

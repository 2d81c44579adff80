"""What translations are worth: BLEU and chrF as sacrebleu defines them, and where they are worst.

Texts in, figures out: nothing here knows files, models or tracking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from features.datasets.dataset import Dataset
from features.errors import DataError
from models.evaluation.uncertainty import Interval
from models.task import Evaluator

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU, CHRF

CONFIDENCE = 0.95
#: Translations that are logged, the worst first.
LOGGED = 200
#: Upper ends of the buckets of lengths, in characters of the source.
_BUCKETS = (10, 20, 30, 40, 60, 80, 120, 240)


def bleu_metric(**options: Any) -> "BLEU":
    """Return sacrebleu's BLEU; it is loaded now, since every command loads the tasks and few translate."""
    from sacrebleu.metrics import BLEU

    return BLEU(**options)


def chrf_metric() -> "CHRF":
    """Return sacrebleu's chrF, loaded as BLEU is."""
    from sacrebleu.metrics import CHRF

    return CHRF()


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one split.

    Attributes:
        split: the split's name, such as ``test``.
        metrics: flat figures by tracked name, such as ``test/bleu``; BLEU and chrF from 0 to 100.
        interval: the BLEU with its interval, from 0 to 1.
        signatures: sacrebleu's, by metric: what exactly was computed.
        sentences: a row for each example, the worst first: position ``row``, ``translation``, ``target``, and
            ``chrf`` of the two.
        buckets: a row for each range of source lengths: ``characters``, ``examples``, ``bleu``, ``chrf``, and
            ``length_ratio``, characters of the translations by those of the targets.
    """

    split: str
    metrics: dict[str, float]
    interval: Interval
    signatures: dict[str, str]
    sentences: pd.DataFrame
    buckets: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What is logged beside the figures."""
        named = pd.DataFrame(list(self.signatures.items()), columns=["metric", "signature"])
        return {"signatures": named, "lengths": self.buckets, "sentences": self.sentences.head(LOGGED)}


def read(outputs: Mapping[str, np.ndarray], labels: Sequence[str]) -> np.ndarray:
    """Take the texts [examples] out of outputs."""
    return np.array([text.decode() for text in outputs["text"]], dtype=np.str_)


def of_dataset(dataset: Dataset, translations: np.ndarray) -> Evaluation:
    """Measure translations of a dataset's measured examples, in their order."""
    measured = dataset.measured
    return evaluate(
        list(measured["target"]),
        [str(text) for text in translations],
        list(measured["sha256"]),
        measured["characters"].to_numpy(),
    )


def evaluate(
    targets: Sequence[str],
    translations: Sequence[str],
    sources: Sequence[str],
    lengths: np.ndarray,
    *,
    split: str = "test",
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure everything this module knows.

    Args:
        targets: a translation of each source that people made.
        translations: the model's.
        sources: equal for examples of the same source, whose targets are all right.
        lengths: characters of the sources.
        split: prefix of the metric names.
        resamples: bootstrap resamples of sources.
        seed: of the bootstrap.

    Raises:
        DataError: the counts differ, or there is nothing to measure.
    """
    if len(targets) != len(translations) or not targets:
        raise DataError(
            "translations do not match the targets", got=f"{len(translations)} and {len(targets)} sentences"
        )
    bleu, chrf = bleu_metric(), chrf_metric()
    references = _references(targets, sources)
    several, several_chrf = (
        metric.corpus_score(list(translations), _transposed(references)).score for metric in (bleu, chrf)
    )
    score = bleu.corpus_score(list(translations), [list(targets)]).score
    interval = _interval(targets, translations, sources, score, resamples, seed)
    figures = {
        "bleu": score,
        "bleu_low": 100 * interval.low,
        "bleu_high": 100 * interval.high,
        "chrf": chrf.corpus_score(list(translations), [list(targets)]).score,
        "bleu_all_targets": several,
        "chrf_all_targets": several_chrf,
        "exact": float(
            np.mean([own in alternatives for own, alternatives in zip(translations, references, strict=True)])
        ),
        "length_ratio": sum(map(len, translations)) / max(1, sum(map(len, targets))),
        "examples": float(len(targets)),
        "sources": float(len(set(sources))),
    }
    # With the references of the default figures, one of each.
    bleu.corpus_score(list(translations), [list(targets)])
    chrf.corpus_score(list(translations), [list(targets)])
    return Evaluation(
        split,
        {f"{split}/{name}": float(value) for name, value in figures.items()},
        interval,
        {f"{split}/{name}": str(one.get_signature()) for name, one in (("bleu", bleu), ("chrf", chrf))},
        _sentences(targets, translations),
        _buckets(targets, translations, lengths),
    )


def _references(targets: Sequence[str], sources: Sequence[str]) -> list[list[str]]:
    """Return all targets of each example's source, its own first."""
    targets_by_source: dict[str, dict[str, None]] = {}
    for source, target in zip(sources, targets, strict=True):
        targets_by_source.setdefault(source, {})[target] = None
    return [
        [target, *(other for other in targets_by_source[source] if other != target)]
        for source, target in zip(sources, targets, strict=True)
    ]


def _transposed(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """Turn the references of each example into sacrebleu's lists of first, second and further ones."""
    most = max(map(len, references))
    return [[own[place] if place < len(own) else None for own in references] for place in range(most)]


def _interval(
    targets: Sequence[str],
    translations: Sequence[str],
    sources: Sequence[str],
    score: float,
    resamples: int,
    seed: int,
) -> Interval:
    """Bootstrap the BLEU over sources (Koehn 2004)."""
    single = bleu_metric(effective_order=True)
    counted = [
        single.sentence_score(own, [target]) for own, target in zip(translations, targets, strict=True)
    ]
    rows = np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in counted], np.float64)
    units = np.unique(list(sources), return_inverse=True)[1]
    sums = np.zeros((units.max() + 1, rows.shape[1]))
    np.add.at(sums, units, rows)
    random = np.random.default_rng(seed)
    counts = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    drawn = [_bleu(single, row) for row in counts @ sums]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval("bleu", score / 100, float(low), float(high), CONFIDENCE, resamples)


def _bleu(metric: "BLEU", row: np.ndarray) -> float:
    counts, totals = row[:4].astype(int).tolist(), row[4:8].astype(int).tolist()
    sizes = int(row[8]), int(row[9])
    return float(metric.compute_bleu(counts, totals, *sizes, smooth_method="exp").score) / 100


def _sentences(targets: Sequence[str], translations: Sequence[str]) -> pd.DataFrame:
    chrf = chrf_metric()
    scores = [
        chrf.sentence_score(own, [target]).score for own, target in zip(translations, targets, strict=True)
    ]
    rows = pd.DataFrame(
        {
            "row": np.arange(len(targets)),
            "translation": list(translations),
            "target": list(targets),
            "chrf": scores,
        }
    )
    return rows.sort_values("chrf", kind="stable", ignore_index=True)


def _buckets(targets: Sequence[str], translations: Sequence[str], lengths: np.ndarray) -> pd.DataFrame:
    places, rows = np.searchsorted(_BUCKETS, lengths), []
    for place in np.unique(places):
        chosen = np.flatnonzero(places == place)
        own, expected = ([texts[int(row)] for row in chosen] for texts in (translations, targets))
        low = _BUCKETS[place - 1] + 1 if place else 1
        high = f" to {_BUCKETS[place]}" if place < len(_BUCKETS) else " and more"
        rows.append(
            {
                "characters": f"{low}{high}",
                "examples": len(chosen),
                "bleu": bleu_metric().corpus_score(own, [expected]).score,
                "chrf": chrf_metric().corpus_score(own, [expected]).score,
                "length_ratio": sum(map(len, own)) / max(1, sum(map(len, expected))),
            }
        )
    return pd.DataFrame(rows)


TRANSLATIONS = Evaluator(read, of_dataset)

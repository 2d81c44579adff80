"""The sections of a report on translations."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from flows.reports.pages import media
from flows.reports.pages.context import Context
from flows.reports.pages.media import Picture
from flows.reports.pages.page import Baseline, Fact, Headline, Section, Table
from flows.reports.sections import parts
from models.evaluation.measures.translations import bleu_metric
from models.export.export import answer
from models.figures import translation

#: Translations at the top of the page.
LEADING = 3
#: Translations shown, and examples whose attention is drawn.
SHOWN, DRAWN = 24, 6
#: Sub-words of the longest sentence that is drawn: a wider map cannot be read on a phone.
_LONGEST = 16

MEANINGS = {
    "bleu": "BLEU of the corpus, 0 to 100 (Papineni and others 2002), each example against its own target",
    "chrf": "chrF2 of the corpus, 0 to 100: runs of characters (Popović 2015)",
    "bleu_all_targets": "BLEU against all targets of the same source",
    "chrf_all_targets": "chrF2 against all targets of the same source",
    "exact": "share of translations that are one of the source's targets",
    "length_ratio": "characters of the translations by those of the targets",
    "examples": "examples measured",
    "sources": "different sources among them",
}


def facts(context: Context) -> list[Fact]:
    """Count the pairs, and give the BLEU."""
    metrics = context.measured.metrics
    return [
        Fact("test pairs", int(metrics["test/examples"])),
        parts.training_examples(context.dataset, "training pairs"),
        Fact("sub-words", context.network.featurizer.size),
        Fact("chrF", f"{metrics['test/chrf']:.1f}"),
    ]


def headline(context: Context) -> Headline:
    """Show the BLEU beside that of the sources themselves."""
    measured, rows = context.measured, context.measured.sentences
    sources = [_source(context, one) for one in rows.itertuples()]
    copied = bleu_metric().corpus_score(sources, [list(rows["target"])]).score
    value, low, high = (
        100 * one for one in (measured.interval.value, measured.interval.low, measured.interval.high)
    )
    return Headline(
        "test BLEU",
        value,
        low,
        high,
        parts.interval_name(measured),
        unit="",
        baselines=[Baseline("the source copied unchanged", copied)],
        ends=(0.0, 100.0),
    )


def lead(context: Context) -> Section:
    """Show some translations, from the best to the worst."""
    sentences = context.measured.sentences
    places = np.unique(np.linspace(0, len(sentences) - 1, min(LEADING, len(sentences))).round().astype(int))
    items = [_shown(context, one) for one in sentences.iloc[places[::-1]].itertuples()]
    return Section("Test sentences, from the highest chrF to the lowest", media=items)


def metrics(context: Context) -> Iterator[Section]:
    """Tabulate BLEU and chrF with what exactly was computed, and draw them by length."""
    measured = context.measured
    signatures: list[list[object]] = [[name, text] for name, text in measured.signatures.items()]
    buckets = measured.buckets.to_numpy(object).tolist()
    columns = ("characters", "examples", "BLEU", "chrF", "length ratio")
    yield Section(
        "Metrics",
        tables=[
            parts.metric_table(measured, MEANINGS),
            Table(("metric", "signature"), signatures, "sacrebleu's signatures"),
            Table(columns, buckets, "By length of the source"),
        ],
        figures=[media.picture("By length of the source", partial(translation.by_length, measured.buckets))],
    )


def attention(context: Context) -> Iterator[Section]:
    """Draw where each sub-word of a few translations looked."""
    measured, featurizer = context.measured, context.network.featurizer
    rows = np.random.default_rng(0).permutation(len(measured.sentences))
    raws = [context.dataset.read(context.dataset.measured.iloc[int(row)]) for row in rows[: 4 * DRAWN]]
    lengths = featurizer.tokens(list(raws)).row_lengths().numpy()
    short = [raw for raw, length in zip(raws, lengths, strict=True) if 3 <= length < _LONGEST]
    if not short:
        return
    functions = context.record.networks.functions(context.plan, context.record.run, context.dataset)
    outputs = answer(functions["attention"], short)
    written = np.char.str_len(outputs["target_tokens"].astype(np.bytes_)).astype(bool).sum(axis=1)
    chosen = [place for place in range(len(short)) if written[place] <= _LONGEST][:DRAWN]
    if not chosen:
        return
    yield Section(
        "Attention",
        prose=[
            "Columns are the sub-words of the source, rows those of the translation; the shade is the square "
            "root of the attention, averaged over heads and layers."
        ],
        figures=[
            _map(short[place].decode(), {name: value[place] for name, value in outputs.items()})
            for place in chosen
        ],
    )


def _map(source: str, outputs: dict[str, Any]) -> Picture:
    weights = outputs["attention"]
    sides = [int(weights.any(axis=axis).sum()) for axis in (1, 0)]
    names = [
        [token.decode("utf-8", "replace") for token in outputs[f"{side}_tokens"][:count]]
        for side, count in zip(("target", "source"), sides, strict=True)
    ]
    draw = partial(translation.attention, weights[: sides[0], : sides[1]], names[1], names[0])
    return media.picture(source, draw, outputs["text"].decode())


def worst(context: Context) -> Iterator[Section]:
    """Show the translations that have least in common with their target, and list others to compare."""
    sentences = context.measured.sentences
    spread = np.unique(np.linspace(0, len(sentences) - 1, min(SHOWN, len(sentences))).round().astype(int))
    rows: list[list[object]] = [
        [_source(context, one), str(one.translation), str(one.target), float(one.chrf)]
        for one in sentences.iloc[spread].itertuples()
    ]
    columns = ("source", "translation", "reference", "chrF")
    prose = "A translation can be right and still have little in common with its one reference."
    yield Section(
        "Worst translations",
        prose=[prose],
        tables=[Table(columns, rows, "From the lowest to the highest chrF", folded=True)],
        media=[_shown(context, one) for one in sentences.head(SHOWN).itertuples()],
    )


def _source(context: Context, sentence: Any) -> str:
    return context.dataset.read(context.dataset.measured.iloc[int(sentence.row)]).decode()


def _shown(context: Context, sentence: Any) -> media.Media:
    lines = [f"reference: {sentence.target}", f"chrF {sentence.chrf:.1f} of 100"]
    translation = str(sentence.translation) or "(nothing)"
    return media.text(translation.encode(), f"source: {_source(context, sentence)}", lines)

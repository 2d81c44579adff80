"""The report of word vectors: what they are worth, which stand side by side, and a map of frequent ones."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flows.courses import word_vectors
from flows.reports.pages import media
from flows.reports.pages import page as report
from flows.reports.pages.context import Context
from flows.reports.projection import map as projection
from flows.reports.sections import parts
from flows.runs import networks
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from models.evaluation import uncertainty
from models.evaluation.measures import words as word_evaluation
from models.figures.drawing import planes
from models.search import clustering
from models.search.vector_index import unit_rows

#: Words whose neighbours are shown, and words on the map; of so many letters, since the most frequent words
#: of any language are short and say little.
SHOWN, MAPPED, LETTERS = 24, 60, 4
NEIGHBOURS = 6
#: Words on the interactive map, and the groups that it colours.
PROJECTED, GROUPS = 300, 10

#: What a metric's name means, for readers who did not choose it.
MEANINGS = {
    "eval/wordsim353_spearman": "rank correlation with people's ratings of relatedness, -1 to 1",
    "eval/wordsim353_pairs": "pairs of WordSim-353 in the vocabulary, of 353",
    "eval/simlex999_spearman": "rank correlation with people's ratings of similarity, -1 to 1",
    "eval/simlex999_pairs": "pairs of SimLex-999 in the vocabulary, of 999",
    "eval/analogies": "share of correct analogies, of those whose words are all in the vocabulary",
    "eval/analogies_known": "analogies whose words are all in the vocabulary, of 19,544",
}


def _write_map(plan: Plan, record: Record, words: tuple[str, ...], vectors: np.ndarray) -> None:
    """Write the interactive map of frequent words into the run and to MLflow."""
    rows = [place for place, word in enumerate(words) if len(word) >= LETTERS and word.isalpha()][:PROJECTED]
    if len(rows) < 3 or vectors.shape[1] < 2:
        return
    page = projection.Projection(
        title=plan.name,
        caption=f"{len(rows):,d} frequent words of {LETTERS} letters and more: nearby words are similar; "
        "large distances mean little.",
        points=[projection.Point(words[row], [f"rank by frequency: {row + 1:,d}"]) for row in rows],
        layouts={"t-SNE": planes.flattened(vectors[rows]), "PCA": planes.principal(vectors[rows])},
        colours={"group": _named(words, vectors, rows, plan.request.seed)},
    )
    path = record.run.path / "projection.html"
    projection.write(page, path)
    record.tracked.artifact(path)


def _named(words: tuple[str, ...], vectors: np.ndarray, rows: list[int], seed: int) -> list[str]:
    """Group words, and name each group by the words nearest to its centre; return the name for each word."""
    unit = unit_rows(vectors[rows])
    grouped = clustering.cluster(unit, min(GROUPS, clustering.different(unit)), seed)
    names = []
    for number, centre in enumerate(unit_rows(grouped.centres)):
        inside = np.flatnonzero(grouped.members == number)
        nearest = inside[np.argsort(-(unit[inside] @ centre), kind="stable")][:3]
        names.append(", ".join(words[rows[place]] for place in nearest))
    return [names[number] for number in grouped.members]


def facts(context: Context) -> list[report.Fact]:
    """Count words and dimensions."""
    words, vectors = word_vectors.vectors_of(context.network)
    return [
        report.Fact("words", len(words)),
        report.Fact("dimensions", int(vectors.shape[1])),
        report.Fact("words of text", int(networks.knowledge(context.plan, context.dataset)["tokens"])),
    ]


def headline(context: Context) -> report.Headline | None:
    """Show the correlation with people's ratings; None where too few of the rated words are known."""
    figures = context.state.metrics
    for name, test in (("wordsim353", "WordSim-353"), ("simlex999", "SimLex-999")):
        if (value := figures.get(f"eval/{name}_spearman")) is not None:
            pairs = int(figures[f"eval/{name}_pairs"])
            interval = uncertainty.of_rank_correlation(name, value, pairs)
            note = f"95 % interval over {pairs:,d} pairs (Bonett and Wright 2000)"
            return report.Headline(
                f"rank correlation with people's ratings ({test})",
                value,
                interval.low,
                interval.high,
                note,
                unit="",
                baselines=[report.Baseline("random vectors", 0.0)],
                ends=(min(0.0, interval.low), 1.0),
            )
    return None


def lead(context: Context) -> report.Section | None:
    """Draw frequent words on a plane."""
    words, vectors = word_vectors.vectors_of(context.network)
    chosen = _telling(words, MAPPED)
    if len(chosen) < 3:
        return None
    place = {word: number for number, word in enumerate(words)}
    points = planes.flattened(vectors[[place[word] for word in chosen]])
    drawn = media.picture(
        "Map of words",
        lambda theme: planes.word_map(points, chosen, theme),
        "Nearby words have similar vectors (t-SNE over cosines). Large distances mean little.",
    )
    return report.Section("Frequent words", figures=[drawn])


def training(context: Context) -> Iterator[report.Section]:
    """Show the learning curves, where the vectors were trained here."""
    history = [{k: v for k, v in row.items() if k != "train/words_per_second"} for row in context.history]
    if history:
        yield parts.training(history)


def tests(context: Context) -> Iterator[report.Section]:
    """Tabulate what the vectors are worth in tests of similarity and analogies."""
    measured: Mapping[str, Any] = json.loads((context.record.run.evaluation / "words.json").read_text())
    metrics = measured["metrics"]
    rows = [[name, metrics[name], meaning] for name, meaning in MEANINGS.items() if name in metrics]
    counted = ("pairs", "known")
    rows = [[name, int(value) if name.endswith(counted) else value, text] for name, value, text in rows]
    by_section = [[name, right, covered, right / covered] for name, right, covered in measured["analogies"]]
    tables = [report.Table(("metric", "value", "meaning"), rows)]
    if by_section:
        columns = ("analogies", "right", "known", "share")
        tables.append(report.Table(columns, by_section, "Analogies by section", frozenset({"share"})))
    prose = "The tests are English: words of other languages are not in them."
    yield report.Section("Tests", prose=[prose], tables=tables)


def _telling(words: tuple[str, ...], most: int) -> list[str]:
    chosen = [word for word in words if len(word) >= LETTERS and word.isalpha()]
    return (chosen or list(words))[:most]


def neighbours(context: Context) -> Iterator[report.Section]:
    """Show the nearest words of some frequent ones."""
    words, vectors = word_vectors.vectors_of(context.network)
    keyed_vectors = word_evaluation.keyed(words, vectors)
    rows = []
    for word in _telling(words, SHOWN):
        near = (
            keyed_vectors.most_similar(word, topn=min(NEIGHBOURS, len(words) - 1)) if len(words) > 1 else []
        )
        rows.append([word, ", ".join(f"{other} {cosine:.2f}" for other, cosine in near)])
    prose = f"The most frequent words of {LETTERS} letters and more, each with its nearest by cosine."
    yield report.Section("Neighbours", prose=[prose], tables=[report.Table(("word", "nearest words"), rows)])


def projected(context: Context) -> Iterator[report.Section]:
    """Write the interactive map, and say where it is."""
    words, vectors = word_vectors.vectors_of(context.network)
    _write_map(context.plan, context.record, words, vectors)
    if (context.record.run.path / "projection.html").is_file():
        prose = f"Up to {PROJECTED} frequent words on a page with search, zoom and groups."
        link = report.Link("Map of the words", "projection.html", "in the folder of this report")
        yield report.Section("Map", prose=[prose], links=[link])

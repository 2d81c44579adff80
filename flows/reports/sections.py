"""The parts of a classifier's report, each from plain data, for any task to put together."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from features import decisions, quarantine
from features.spec import SPLITS
from flows.reports.media import Media, picture
from flows.reports.page import Fact, Range, Section, Table
from models.figures import classification, curves

if TYPE_CHECKING:
    from models.evaluation.classification import Evaluation

#: What a metric's name means, for readers who did not choose it.
MEANINGS = {
    "accuracy": "share of examples whose highest score is the true label",
    "majority_accuracy": "accuracy of always answering the most frequent class of the training split",
    "balanced_accuracy": "recall averaged over the classes, each counting the same",
    "loss": "mean negative log-likelihood of the true label, in nats",
    "macro_f1": "F1 averaged over the classes, each counting the same",
    "matthews": "correlation of true and predicted classes, 0 by chance, 1 for no mistake (Matthews 1975)",
    "top_k_accuracy": "share of examples whose true label is among the k highest scores",
    "ece": "expected calibration error: mean distance of confidence from accuracy (Guo et al. 2017)",
    "examples": "examples measured",
}


def headline(evaluation: Any) -> Range | None:
    """Show the main metric with its interval; None where that is no share from 0 to 1."""
    interval = evaluation.interval
    if interval.metric == "loss" or not 0 <= interval.low <= interval.high <= 1:
        return None
    name = interval.metric.replace("_", " ").replace("r2", "R²").replace("bleu", "BLEU")
    note = f"{interval.confidence:.0%} interval ({interval.method})".replace("%", " %")
    return Range(f"{evaluation.split} {name}", interval.value, interval.low, interval.high, note)


def dataset(card: Mapping[str, Any]) -> Section:
    """Describe a dataset or corpus: where every example went, and what the targets are.

    Args:
        card: ``source``, ``found``, ``accepted``, ``quarantined``, ``skipped`` counts, ``reasons``
            (quarantine reason to count), ``skip_reasons``, ``formats`` and ``notes`` (likewise),
            ``decisions``, and ``classes`` or ``numbers``, of which any may be missing.
    """
    counts = [
        Fact(name, card[name]) for name in ("found", "accepted", "quarantined", "skipped") if name in card
    ]
    tables = of_targets(card)
    tables += [
        Table((name, "examples"), list(counts.items()), f"Examples by {name}", folded=True)
        for name, counts in card.get("values", {}).items()
        if len(counts) > 1 or name == "rate"
    ]
    prose = [card["source"]] if "source" in card else []
    return Section("Dataset", prose=prose, facts=counts, tables=[*tables, *ingested(card)])


def of_targets(card: Mapping[str, Any]) -> list[Table]:
    """Tabulate the targets of a dataset by split."""
    return [make(card[key]) for key, make in TARGET_TABLES.items() if key in card]


def _class_table(classes: Mapping[str, Mapping[str, int]]) -> Table:
    splits = [split for split in SPLITS if any(row.get(split) for row in classes.values())]
    # Without labels all examples stand under one.
    names = classes if len(classes) > 1 else ["examples"]
    rows_of = zip(names, classes.values(), strict=True)
    counts = {name: [row.get(split, 0) for split in splits] for name, row in rows_of}
    rows: list[list[object]] = [[label, *row, sum(row)] for label, row in counts.items()]
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    rows.append(["all", *totals, sum(totals)])
    return Table(("class", *splits, "all"), rows, "Examples by class and split", folded=len(classes) > 24)


#: What the card has of each number, and the heading of its column.
_NUMBER_COLUMNS = {
    "examples": "examples",
    "least": "least",
    "lower_quartile": "lower quartile",
    "median": "median",
    "upper_quartile": "upper quartile",
    "most": "most",
    "mean": "mean",
    "deviation": "deviation",
    "most_frequent": "most frequent",
    "most_frequent_share": "its share",
}


def _number_table(numbers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    rows: list[list[object]] = [
        [name, split, *map(part.get, _NUMBER_COLUMNS)]
        for name, parts in numbers.items()
        for split, part in parts.items()
    ]
    heads = ("number", "split", *_NUMBER_COLUMNS.values())
    return Table(heads, rows, "Targets by split", frozenset({"its share"}))


def _point_table(points: Mapping[str, Mapping[str, int]]) -> Table:
    splits = [split for split in SPLITS if any(row.get(split) for row in points.values())]
    rows: list[list[object]] = [
        [name, *(counts.get(split, 0) for split in splits)] for name, counts in points.items()
    ]
    return Table(("point", *splits), rows, "Examples in which a point is annotated", folded=len(rows) > 24)


def _box_table(boxes: Mapping[str, Any]) -> Table:
    classes, sizes = boxes["classes"], boxes["sizes"]
    splits = [split for split in SPLITS if any(row.get(split) for row in classes.values())]
    rows: list[list[object]] = [
        [name, *(counts.get(split, 0) for split in splits), sizes.get(name, {}).get("median")]
        for name, counts in classes.items()
    ]
    empty = boxes["images_without_boxes"]
    rows.append(["images without objects", *(empty.get(split, 0) for split in splits), None])
    columns = ("class", *splits, "median size, px")
    return Table(columns, rows, "Boxes by class and split", folded=len(rows) > 24)


def _transcript_table(transcripts: Mapping[str, Mapping[str, Any]]) -> Table:
    """Tabulate the transcripts of each split, with what the training split does not know of the others."""
    columns = ("examples", "words", "characters", "different_words", "unknown_words", "unknown_characters")
    rows: list[list[object]] = [
        [split, *(_labels(transcripts[split][column]) for column in columns)]
        for split in SPLITS
        if split in transcripts
    ]
    heads = ("split", *(column.replace("_", " ") for column in columns))
    return Table(heads, rows, "Transcripts by split")


def _labels(value: Any) -> object:
    """Write counts by label in words: how many, and which."""
    if not isinstance(value, Mapping):
        return value
    if not value:
        return "none"
    return f"{sum(value.values())}: {', '.join(map(str, list(value)[:20]))}"


def _sentence_table(sentences: Mapping[str, Mapping[str, float]]) -> Table:
    columns = ("examples", "different", "least", "median", "most")
    rows: list[list[object]] = [[split, *map(part.get, columns)] for split, part in sentences.items()]
    heads = ("split", "pairs", "different targets", "least characters", "median", "most")
    return Table(heads, rows, "Targets by split")


def _note_table(music: Mapping[str, Any]) -> Table:
    splits = [split for split in SPLITS if any(row.get(split) for row in music["keys"].values())]
    rows: list[list[object]] = [
        [name, *(counts.get(split, 0) for split in splits)] for name, counts in music["keys"].items()
    ]
    totals = [sum(row[place] for row in rows) for place in range(1, len(splits) + 1)]  # type: ignore[misc]
    return Table(("key", *splits), [*rows, ["all", *totals]], "Notes by key and split", folded=True)


#: Key of a card that describes targets, to the table of it.
TARGET_TABLES: dict[str, Callable[[Mapping[str, Any]], Table]] = {
    "classes": _class_table,
    "numbers": _number_table,
    "points": _point_table,
    "boxes": _box_table,
    "transcripts": _transcript_table,
    "sentences": _sentence_table,
    "music": _note_table,
}


#: The counts of a card that a report shows: key of the card, heading, caption, what each entry means.
_COUNTED: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    ("reasons", "reason", "Quarantined", quarantine.REASONS),
    ("skip_reasons", "rule", "Skipped by rule", quarantine.SKIPS),
    ("skipped_endings", "ending", "Endings of files skipped for them", {}),
    ("formats", "format", "Formats", {}),
    ("notes", "note", "Accepted, with a note", quarantine.NOTES),
)


def ingested(card: Mapping[str, Any]) -> list[Table]:
    """Tabulate what ingest decided about the data, and what it refused, skipped and noted."""
    tables = []
    if decided := decisions.from_card(card):
        decided.sort(key=lambda decision: not decision.warning)
        rows = [
            [f"{decision.topic} {decision.name}".strip(), decision.choice, decision.reason]
            for decision in decided
        ]
        columns = ("about", "decided", "because")
        tables.append(Table(columns, rows, "Decided at ingest", folded=len(rows) > 24))
    for key, heading, caption, meanings in _COUNTED:
        counts = sorted(card.get(key, {}).items(), key=lambda item: (-item[1], item[0]))
        if meanings and counts:
            rows = [[name, count, meanings.get(name, "")] for name, count in counts]
            tables.append(Table((heading, "count", "meaning"), rows, caption))
        elif len(counts) > 1:
            tables.append(Table((heading, "count"), counts, caption, folded=True))
    return tables


def windows(shown: Sequence[tuple[str, np.ndarray, np.ndarray]], labels: Sequence[str]) -> Section:
    """Show when what was heard in some examples.

    Args:
        shown: of each example a title, the starts of its windows in seconds, and their scores.
        labels: of the classes.
    """
    drawn = [
        picture(title, lambda theme, a=starts, b=scores: classification.window_scores(a, b, labels, theme))
        for title, starts, scores in shown
    ]
    prose = "The longest test examples, window by window; an example's answer is the mean over its windows."
    return Section("Windows", prose=[prose], figures=drawn)


def texts(rows: Sequence[Sequence[object]], vocabulary: int, max_tokens: int | None) -> Section:
    """Show how much of the texts is read and known.

    Args:
        rows: of each split its name, the median and the largest number of tokens, and the shares of texts
            cut and of tokens that are not known.
        vocabulary: number of known tokens.
        max_tokens: of a text; None for all.
    """
    read = f"the first {max_tokens:,d} tokens of each" if max_tokens else "every token"
    columns = ("split", "median tokens", "most tokens", "texts cut", "tokens unknown")
    table = Table(columns, rows, "Texts by split", frozenset(columns[3:]))
    prose = f"The network knows {vocabulary:,d} tokens and reads {read}."
    return Section("Texts", prose=[prose], tables=[table])


def metrics(evaluation: "Evaluation") -> Section:
    """Tabulate the metrics with what they mean."""
    rows, main = [], evaluation.interval.metric
    short_names = {name: name.partition("/")[2] for name in evaluation.metrics}
    # The main metric and the ends of its interval come first.
    for name, short in sorted(short_names.items(), key=lambda item: not item[1].startswith(main)):
        value = evaluation.metrics[name]
        meaning = MEANINGS.get(short, "")
        if short == "top_k_accuracy":
            meaning = meaning.replace("k highest", f"{evaluation.top_k} highest")
        if short.endswith(("_low", "_high")):
            meaning = (
                f"{'lower' if short.endswith('_low') else 'upper'} end of the {_interval_name(evaluation)}"
            )
        rows.append([name, int(value) if short == "examples" else value, meaning])
    return Section("Metrics", tables=[Table(("metric", "value", "meaning"), rows)])


#: What a metric of numbers means.
NUMBER_MEANINGS = {
    "r2": "share of the targets' variance that the predictions explain (coefficient of determination)",
    "mse": "mean squared error, in squared units of the target",
    "mae": "mean absolute error, in units of the target",
    "rmse": "root of the mean squared error, in units of the target",
    "mse_of_mean": "mean squared error of always answering with the training split's mean",
    "mse_of_zero": "mean squared error of always answering 0",
    "examples": "examples measured",
}


def number_metrics(evaluation: Any) -> Section:
    """Tabulate the errors of predicted numbers with what they mean."""
    tables = [metric_table(evaluation, NUMBER_MEANINGS)]
    if len(evaluation.names) > 1:
        columns = ("name", "r2", "mae", "rmse", "mse", "mse_of_mean", "mse_of_zero")
        each = evaluation.numbers[list(columns)].to_numpy(object).tolist()
        tables.append(Table(columns, each, "By number"))
    return Section("Metrics", prose=[f"Intervals: {_interval_name(evaluation)}."], tables=tables)


#: Metrics that are counts.
_COUNTS = (
    "examples",
    "points",
    "boxes",
    "found",
    "words",
    "substitutions",
    "deletions",
    "insertions",
    "sources",
)


def metric_table(evaluation: Any, meanings: Mapping[str, str], **words: str) -> Table:
    """Tabulate metrics with their intervals and what they mean.

    Args:
        evaluation: with ``split`` and ``metrics``; the ends of an interval are metrics of their own, with
            ``_low`` and ``_high`` behind the name.
        meanings: of the metrics to show, in order.
        **words: put in place of ``{name}`` in the meanings.
    """
    figures = {name.partition("/")[2]: value for name, value in evaluation.metrics.items()}
    rows: list[list[object]] = [
        [
            f"{evaluation.split}/{name}",
            int(figures[name]) if name in _COUNTS else figures[name],
            _ends(figures, name),
            meaning.format(**words),
        ]
        for name, meaning in meanings.items()
        if name in figures
    ]
    return Table(("metric", "value", "interval", "meaning"), rows)


def _ends(figures: Mapping[str, float], name: str) -> str | None:
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    return None if low is None or high is None else f"{low:.3g} to {high:.3g}"


def _interval_name(evaluation: Any) -> str:
    interval = evaluation.interval
    return f"{100 * interval.confidence:.0f} % interval ({interval.method})"


def classes(evaluation: "Evaluation") -> Section:
    """Show which classes are learnt and which are mistaken for which."""
    table = evaluation.per_class
    columns = ("label", "precision", "recall", "f1", "support", "predicted")
    rows = [[row[column] for column in columns] for row in table[list(columns)].to_dict("records")]
    shares = frozenset(("precision", "recall", "F1"))
    matrix = picture(
        "Confusion matrix",
        lambda theme: classification.confusion(evaluation.confusion, evaluation.labels, theme),
        "Rows are true classes, columns predictions; the shade is the share of the row.",
    )
    bars = picture(
        "Precision, recall and F1",
        lambda theme: classification.per_class(table, theme),
        f"The weakest classes first, with the number of {evaluation.split} examples in brackets.",
    )
    every = Table(
        ("class", "precision", "recall", "F1", "support", "predicted"),
        rows,
        "Every class",
        shares,
        folded=len(rows) > 24,
    )
    return Section("Classes", figures=[matrix, bars], tables=[every, *_confusions(evaluation)])


def _confusions(evaluation: "Evaluation", most: int = 10) -> list[Table]:
    """List the most frequent mistakes between two classes, for more classes than the eye can scan."""
    wrong = evaluation.confusion * (1 - np.eye(len(evaluation.labels), dtype=np.int64))
    if len(evaluation.labels) <= 8 or not wrong.any():
        return []
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [np.unravel_index(at, wrong.shape) for at in order]
    names = evaluation.labels
    rows = [
        [names[true], names[found], int(wrong[true, found])] for true, found in pairs if wrong[true, found]
    ]
    return [Table(("true", "predicted", "times"), rows, "Most frequent confusions")]


def calibration(evaluation: "Evaluation") -> Section:
    """Show whether scores can be read as probabilities."""
    error = evaluation.metrics[f"{evaluation.split}/ece"]
    bands = evaluation.calibration
    caption = "Bars on the dashed line mean that a score of 0.8 is right 8 times in 10."
    return Section(
        "Calibration",
        figures=[
            picture(
                "Accuracy by confidence",
                lambda theme: classification.calibration(bands, error, theme),
                caption,
            )
        ],
    )


def training(epochs: Sequence[Mapping[str, object]]) -> Section:
    """Show the learning curves.

    Args:
        epochs: as for ``models.figures.curves.learning_curves``.
    """
    curve = picture("Learning curves", lambda theme: curves.learning_curves(epochs, theme))
    return Section("Training", figures=[curve])


def kernels(weights: np.ndarray) -> Section:
    """Show what the first layer of a network trained from pixels responds to.

    Args:
        weights: float [height, width, channels, filters] of the first convolution.
    """
    caption = "One tile per filter of the first convolution, each scaled to its own range."
    tiles = picture("First-layer kernels", lambda theme: classification.kernels(weights, theme), caption)
    return Section("Kernels", figures=[tiles])


def mistakes(media: Sequence[Media], total: int, split: str = "test") -> Section:
    """Show the most confident mistakes.

    Args:
        media: gallery items, the most confident first.
        total: how many mistakes there are.
        split: where they were made.
    """
    if not total:
        return Section("Mistakes", prose=[f"None: every {split} example was predicted right."])
    prose = f"{total:,d} {split} example{'s were' if total > 1 else ' was'} predicted wrong"
    prose += f"; shown are the {len(media)} with the highest scores." if len(media) < total else "."
    return Section("Mistakes", prose=[prose], media=media)


def heatmaps(media: Sequence[Media], absent: Mapping[str, str]) -> Section:
    """Show where in some examples the evidence lies.

    Args:
        media: overlays, typical hits first and then the worst mistakes.
        absent: method that the network has not, to the reason.
    """
    prose = [f"There is no {method}: {reason}." for method, reason in sorted(absent.items())]
    if media:
        prose = [
            "Where the evidence for the answer lies, in typical right answers and then in the most confident "
            "wrong ones: blue speaks for the answer, orange against it, each up to its own strongest.",
            *prose,
        ]
    return Section("Heatmaps", prose=prose, media=media)


def latency(milliseconds: Sequence[float], what: str) -> Section:
    """Show how long an answer takes.

    Args:
        milliseconds: one duration per request.
        what: what was timed, in a sentence.
    """
    percentiles = np.percentile(milliseconds, [50, 95, 99])
    facts = [Fact(f"p{at}", f"{value:.3g} ms") for at, value in zip((50, 95, 99), percentiles, strict=True)]
    curve = picture("Time per request", lambda theme: curves.latency(milliseconds, theme))
    return Section(
        "Latency", prose=[what], facts=[*facts, Fact("requests", len(milliseconds))], figures=[curve]
    )


def checks(rows: Sequence[Sequence[object]]) -> Section:
    """Tabulate what the gate checked.

    Args:
        rows: check, what was got, what was expected, and the outcome, each.
    """
    return Section("Gate", tables=[Table(("check", "got", "expected", "outcome"), rows)])


def reproduction(recipe: str, command: str, facts: Mapping[str, object]) -> Section:
    """Show everything that is needed to reproduce this model.

    Args:
        recipe: the resolved recipe as YAML.
        command: the command line.
        facts: such as seed, dataset fingerprint, commit and library versions, by name.
    """
    code = f"$ {command}\n\n{recipe}" if command else recipe
    return Section(
        "Reproduction", facts=[Fact(name, value) for name, value in facts.items()], code=code.strip()
    )

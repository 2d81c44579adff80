"""The parts of a classifier's report, each from plain data, for any task to put together."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.reports.pages.media import Media, Picture, picture
from flows.reports.pages.page import Baseline, Code, Fact, Headline, Legend, Section, Table, cell
from flows.steps import baseline
from models.baselines import linear as linear_model
from models.figures import classification, curves

if TYPE_CHECKING:
    from flows.reports.pages.context import Context
    from models.evaluation.measures.classification import Evaluation

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


#: Metrics whose name in code is not what a reader calls them.
NAMES = {
    "r2": "R²",
    "bleu": "BLEU",
    "wer": "word error rate",
    "map50": "mean average precision at an overlap of 0.50",
    "note_f1": "F1 of the notes",
    "mean_error_px": "mean error",
}


def headline(evaluation: Any, **fields: Any) -> Headline:
    """Show the main metric with its interval.

    Args:
        evaluation: with ``split`` and ``interval``.
        **fields: of the Headline, such as ``unit`` and ``baseline``.
    """
    interval = evaluation.interval
    name = NAMES.get(interval.metric, interval.metric.replace("_", " "))
    note = interval_name(evaluation)
    if interval.metric == "loss":
        fields = {"unit": "nats", "ends": None} | fields
    return Headline(f"{evaluation.split} {name}", interval.value, interval.low, interval.high, note, **fields)


def linear(context: "Context") -> list[Baseline]:
    """Return the linear baseline of a task, where it was measured."""
    value = context.state.metrics.get(baseline.linear_name(context.plan.task.objective.report))
    return [] if value is None else [Baseline(linear_model.describe(context.plan.task), value)]


def training_examples(dataset: Any, name: str = "training examples") -> Fact:
    """Count what was trained on."""
    return Fact(name, int((dataset.frame["split"] == "train").sum()))


def answered(true: object, predicted: object, score: float | None = None) -> str:
    """Say in a line what an example is, and what was answered."""
    sure = "" if score is None else f" ({score:.2f})"
    return f"true: {true}, predicted: {predicted}{sure}"


def windows(shown: Sequence[tuple[str, np.ndarray, np.ndarray]], labels: Sequence[str]) -> Section:
    """Show what was heard when in some examples.

    Args:
        shown: of each example a title, the starts of its windows in seconds, and their scores.
        labels: of the classes.
    """
    drawn = [
        picture(title, lambda theme, a=starts, b=scores: classification.window_scores(a, b, labels, theme))
        for title, starts, scores in shown
    ]
    prose = (
        "The longest test examples, window by window. The answer to an example is the mean over its windows."
    )
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
    columns = ("split", "median length, tokens", "longest, tokens", "texts cut", "tokens unknown")
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
            if evaluation.top_k == 1:
                meaning = "equal to accuracy: of two classes, k is 1"
        if short.endswith(("_low", "_high")):
            meaning = (
                f"{'lower' if short.endswith('_low') else 'upper'} end of the {interval_name(evaluation)}"
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
    return Section("Metrics", prose=[f"With a {interval_name(evaluation)}."], tables=tables)


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
    return None if low is None or high is None else f"{cell(low)} to {cell(high)}"


def interval_name(evaluation: Any) -> str:
    """Name the interval of the main metric."""
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
        ("class", "precision", "recall", "F1", "examples", "predicted"),
        rows,
        "Every class",
        shares,
        folded=len(rows) > 24,
    )
    tables = [every, *_confusions(evaluation)]
    return Section("Classes", figures=[matrix, bars], tables=tables)


def _confusions(evaluation: "Evaluation", most: int = 10) -> list[Table]:
    """List the most frequent mistakes between two classes, for more classes than the eye can scan."""
    wrong = evaluation.confusion * (1 - np.eye(len(evaluation.labels), dtype=np.int64))
    if len(evaluation.labels) <= 8 or not wrong.any():
        return []
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [np.unravel_index(at, wrong.shape) for at in order]
    names = evaluation.labels
    rows = [
        [names[true], names[predicted], int(wrong[true, predicted])]
        for true, predicted in pairs
        if wrong[true, predicted]
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


def training(epochs: Sequence[Mapping[str, object]], *others: Picture) -> Section:
    """Show the learning curves.

    Args:
        epochs: as for ``models.figures.curves.learning_curves``.
        *others: figures beside them.
    """
    curve = picture("Learning curves", lambda theme: curves.learning_curves(epochs, theme))
    return Section("Training", figures=[curve, *others])


def trainings(
    title: str, epochs: Mapping[str, Sequence[Mapping[str, object]]], main: str, caption: str, best: str = ""
) -> Picture:
    """Draw the learning curves of several trainings; arguments as of ``models.figures.curves.compared``."""
    return picture(title, lambda theme: curves.compared(epochs, main, theme, best), caption)


def kernels(weights: np.ndarray) -> Section:
    """Show what the first layer of a network trained from pixels responds to.

    Args:
        weights: float [height, width, channels, filters] of the first convolution.
    """
    caption = "One tile per filter of the first convolution, each scaled to its own range."
    tiles = picture("First-layer kernels", lambda theme: classification.kernels(weights, theme), caption)
    return Section("Kernels", figures=[tiles])


def mistakes(media: Sequence[Media], total: int, split: str = "test", legend: Legend = ()) -> Section:
    """Show the most confident mistakes.

    Args:
        media: gallery items, the most confident first.
        total: how many mistakes there are.
        split: where they were made.
        legend: what colours in them mean.
    """
    if not total:
        return Section("Mistakes", prose=[f"None: every {split} example was predicted correctly."])
    prose = f"{total:,d} {split} example{'s were' if total > 1 else ' was'} predicted wrongly"
    prose += f". Shown are the {len(media)} with the highest scores." if len(media) < total else "."
    prose += " The number in brackets is the score of the predicted class."
    return Section("Mistakes", prose=[prose], media=media, legend=legend)


#: What the colours of evidence mean, in texts and in heatmaps.
EVIDENCE: Legend = (("for", "speaks for the answer"), ("against", "speaks against it"))


def heatmaps(media: Sequence[Media], absent: Mapping[str, str]) -> Section:
    """Show where in some examples the evidence lies.

    Args:
        media: what was given beside its overlays, typical hits first and then the worst mistakes.
        absent: method that the network has not, to the reason.
    """
    prose = [f"There is no {method}: {reason}." for method, reason in sorted(absent.items())]
    if media:
        prose = [
            "Where the evidence for the answer lies, in typical correct answers and then in the most "
            "confident mistakes. Each heatmap has its own scale, up to its strongest value.",
            *prose,
        ]
    legend = EVIDENCE if media else ()
    return Section("Heatmaps", prose=prose, media=media, legend=legend, wide=True)


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
        rows: the outcome, the check, what was got, and what was expected, each.
    """
    return Section("Gate", tables=[Table(("outcome", "check", "got", "expected"), rows)])


def reproduction(
    recipe: str, command: str, seed: int, versions: Mapping[str, str], hashes: Mapping[str, str]
) -> Section:
    """Show everything that is needed to reproduce this model.

    Args:
        recipe: the resolved recipe as YAML.
        command: the command line.
        seed: of the training.
        versions: of the libraries, by name.
        hashes: such as the dataset's fingerprint, by name.
    """
    code = [Code(f"$ {command}", "Command")] if command else []
    return Section(
        "Reproduction",
        prose=[f"Seed {seed}."],
        code=[*code, Code(recipe.strip(), "The recipe, resolved", folded=True)],
        tables=[
            Table(("library", "version"), list(versions.items()), "Versions", folded=True),
            Table(("what", "value"), list(hashes.items()), "Hashes", folded=True),
        ],
    )

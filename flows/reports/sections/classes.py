"""The sections of a classifier's report that need the network or the data."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from features.spec import SPLITS
from features.texts.tokenizer import count
from flows.reports.pages import media
from flows.reports.pages.context import Context
from flows.reports.pages.page import Baseline, Fact, Headline, Section
from flows.reports.sections import heatmaps, parts
from models.explain import token_occlusion
from models.export import signatures
from models.networks.images import cnn

#: Examples at the top of the page.
LEADING = 6
#: Mistakes shown, the most confident first.
SHOWN_MISTAKES = 24
#: Long examples whose windows are shown.
SHOWN_LONG = 3


def facts(context: Context) -> list[Fact]:
    """Count examples and classes."""
    return [
        Fact("test examples", int(context.measured.metrics["test/examples"])),
        Fact("classes", len(context.dataset.labels)),
        parts.training_examples(context.dataset),
    ]


def headline(context: Context) -> Headline:
    """Show the accuracy beside that of the most frequent class."""
    value = context.measured.metrics.get("test/majority_accuracy")
    majority = [] if value is None else [Baseline("always the most frequent class", value)]
    return parts.headline(context.measured, baselines=[*majority, *parts.linear(context)])


def lead(context: Context) -> Section | None:
    """Show some test examples: typical right answers, and the most confident mistakes."""
    measured, labels = context.measured, context.dataset.labels
    wrong = [int(row) for row in measured.mistakes.head(LEADING // 3)["row"]]
    places = [*heatmaps.hits(context, LEADING - len(wrong)), *wrong]
    if not places:
        return None
    scores = np.load(context.record.run.outputs, allow_pickle=False)
    targets = context.dataset.measured["target"].to_numpy(np.int64)
    items = []
    for place in places:
        predicted, true = int(scores[place].argmax()), int(targets[place])
        line = parts.answered(labels[true], labels[predicted], float(scores[place].max()))
        items.append(context.measured_example(place, [line], "good" if predicted == true else "bad")[0])
    title = "Typical correct answers on test examples"
    return Section(title + (", and the most confident mistakes" if wrong else ""), media=items)


def metrics(context: Context) -> Iterator[Section]:
    """Tabulate the metrics."""
    yield parts.metrics(context.measured)


def classes(context: Context) -> Iterator[Section]:
    """Show which classes are learnt."""
    yield parts.classes(context.measured)


def calibration(context: Context) -> Iterator[Section]:
    """Compare scores with accuracy."""
    yield parts.calibration(context.measured)


def training(context: Context) -> Iterator[Section]:
    """Show the learning curves."""
    folds = {f"fold {name}": epochs for name, epochs in context.folds.items()}
    metric = context.plan.task.objective.report.partition("/")[2]
    caption = "One line for each training, each measured on its own validation split."
    curves = [parts.trainings("Learning curves of the folds", folds, metric, caption)] if folds else []
    if context.history:
        yield parts.training(context.history, *curves)


def kernels(context: Context) -> Iterator[Section]:
    """Show the kernels of the first convolution, where it was trained here."""
    network = context.network
    if any(phase.model is network.model for phase in network.phases):
        first_kernels = cnn.first_kernels(network.model)
        if first_kernels is not None:
            yield parts.kernels(first_kernels)


def windows(context: Context) -> Iterator[Section]:
    """Show what was heard when in the longest test examples, where examples have several windows."""
    examples = []
    for row in context.dataset.measured.nlargest(SHOWN_LONG, "seconds").itertuples():
        scores, starts = signatures.heard(context.network, context.dataset.read(row))
        if len(starts) > 1:
            examples.append((f"{row.name}: {row.label}", starts, scores))
    if examples:
        yield parts.windows(examples, context.dataset.labels)


def texts(context: Context) -> Iterator[Section]:
    """Show how much of the texts the network reads, and how many of their tokens it knows."""
    featurizer, frame = context.network.featurizer, context.dataset.frame
    rows = []
    for split in SPLITS:
        part = frame[frame["split"] == split]
        if not len(part):
            continue
        counts, lengths = count(featurizer.tokens, map(context.dataset.read, part.itertuples()))
        covered = sum(counts[token] for token in featurizer.vocabulary)
        cut = np.mean([length > (featurizer.max_tokens or length) for length in lengths])
        unknown = 1 - covered / max(1, counts.total())
        rows.append([split, int(np.median(lengths)), max(lengths), float(cut), unknown])
    yield parts.texts(rows, len(featurizer.vocabulary), featurizer.max_tokens)


def mistakes(context: Context) -> Iterator[Section]:
    """Show the most confident mistakes."""
    items, _ = _mistakes(context)
    yield parts.mistakes(items, len(context.measured.mistakes))


def text_mistakes(context: Context) -> Iterator[Section]:
    """Show the most confident mistakes, each token with how much it speaks for the answer."""
    items, raws = _mistakes(context)
    weighed = [
        [
            (token, float(change / max(1e-6, np.abs(changes).max())))
            for token, change in zip(tokens, changes, strict=True)
        ]
        for tokens, changes in token_occlusion.explained(context.network, raws)
    ]
    mistake_items = [replace(item, tokens=tokens) for item, tokens in zip(items, weighed, strict=True)]
    yield parts.mistakes(mistake_items, len(context.measured.mistakes), legend=parts.EVIDENCE)


def _mistakes(context: Context) -> tuple[list[media.Media], list[bytes]]:
    items, raws = [], []
    for mistake in context.measured.mistakes.head(SHOWN_MISTAKES).itertuples():
        line = parts.answered(mistake.target, mistake.prediction, mistake.score)
        item, raw = context.measured_example(int(mistake.row), [line])
        items.append(item)
        raws.append(raw)
    return items, raws

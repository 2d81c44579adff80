"""The report's heatmaps: where the evidence lies in typical hits and in the worst mistakes."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from flows.gate import expectations
from flows.queries.reading import inputs
from flows.reports.pages import media, page
from flows.reports.pages.context import Context
from flows.reports.sections import parts
from models.figures.drawing import overlays

#: Places of a patch along the shorter side: a quarter of the work of the usual 14.
POSITIONS = 7
#: Hits and mistakes shown, and the methods they are explained by, as the report calls them.
SHOWN = 3
METHODS = {"occlusion": "occlusion", "grad_cam": "Grad-CAM"}


def heatmaps(context: Context) -> Iterator[page.Section]:
    """Explain some answers of the training graph, each in a row: what was given, then its heatmaps."""
    plan, record, dataset = context.plan, context.record, context.dataset
    functions = record.networks.functions(plan, record.run, dataset)
    values = inputs.coarse(context.network.featurizer.spec.shape, POSITIONS)
    methods = {words: functions[name] for name, words in METHODS.items() if name in functions}
    items = []
    for place in [*hits(context, SHOWN), *worst(context)] if methods else ():
        item, raw = context.measured_example(place, ())
        if raw:
            items.append(
                _explained(item, raw, methods, plan.task.raw.input, values, dataset.measured.iloc[place])
            )
    absent = {METHODS.get(name, name): why for name, why in context.state.absent.items()}
    yield parts.heatmaps(items, absent)


def hits(context: Context, most: int) -> list[int]:
    """Choose right answers of each of the largest classes in turn, those whose score is in the middle first.

    Returns:
        Places among the measured examples.
    """
    scores = np.load(context.record.run.outputs, allow_pickle=False)
    targets = context.dataset.measured["target"].to_numpy(np.int64)
    right = scores.argmax(1) == targets
    counts = np.bincount(targets[right], minlength=len(context.dataset.labels))
    groups = []
    for label in np.argsort(-counts, kind="stable"):
        rows = np.flatnonzero(right & (targets == label))
        ordered = rows[np.argsort(scores[rows, label], kind="stable")]
        from_middle = np.argsort(np.abs(np.arange(len(rows)) - len(rows) // 2), kind="stable")
        groups.append(ordered[from_middle].tolist())
    return _in_turn(groups, most)


def _in_turn(groups: Sequence[Sequence[int]], most: int) -> list[int]:
    """Take one of each group in turn, until there are so many."""
    longest = max(map(len, groups), default=0)
    selection = [group[turn] for turn in range(longest) for group in groups if turn < len(group)]
    return selection[:most]


def worst(context: Context) -> list[int]:
    """Choose the most confident mistakes; places among the measured examples."""
    return [int(row) for row in context.measured.mistakes.head(SHOWN)["row"]]


def _explained(
    item: media.Media,
    raw: bytes,
    methods: Mapping[str, Any],
    argument: str,
    values: Mapping[str, str],
    row: Any,
) -> media.Media:
    """Put an example beside the heatmaps of its answer, one for each method."""
    views: list[media.View] = []
    line = ""
    for method, function in methods.items():
        # One example at a time: the longest sound decides the size of a batch's map.
        question = {argument: np.array([raw], dtype=object)} | inputs.usual(function, [argument], 1, values)
        explanation = overlays.read(expectations.call(method, function, question).outputs)
        views = views or [_given(item, explanation)]
        title = f"{method}, up to {explanation.reach:.2g}"
        views.append(_view(title, overlays.overlaid(explanation), explanation))
        line = parts.answered(row["label"], explanation.label, explanation.score)
    return replace(item, lines=[line], views=views)


def _given(item: media.Media, explanation: overlays.Explanation) -> media.View:
    """Show what was given: the photo, or the sound as the network gets it."""
    if explanation.sound or item.data is None:
        return _view("the network's input", overlays.picture(explanation), explanation)
    return media.View("photo", item.data, item.mime, item.sharp)


def _view(title: str, pixels: np.ndarray, explanation: overlays.Explanation) -> media.View:
    picture, sound = Image.fromarray(pixels), explanation.sound
    sharp = not sound and max(picture.size) <= media.SMALL
    if sound:
        size = (media.THUMBNAIL, media.THUMBNAIL // 2)
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    picture.save(stream, "PNG" if sharp else "JPEG", **({} if sharp else {"quality": 88}))
    axes = _axes(explanation) if sound else None
    return media.View(title, stream.getvalue(), "image/png" if sharp else "image/jpeg", sharp, axes)


def _axes(explanation: overlays.Explanation) -> media.Axes:
    """Mark time and frequency of a sound."""
    seconds, cell = explanation.seconds, explanation.cell or 1
    frames, bands = explanation.seen.shape
    frame = float(seconds[1] - seconds[0]) / cell if len(seconds) > 1 else 1 / max(frames, 1)
    middles = np.interp(
        np.arange(bands), (np.arange(len(explanation.hertz)) + 0.5) * cell - 0.5, explanation.hertz
    )
    return media.sound_axes(frames * frame, middles)

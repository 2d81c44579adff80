"""The report's heatmaps: where the evidence lies in typical hits and in the worst mistakes."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from features.datasets.dataset import Dataset
from features.errors import DataError
from flows.gate import expectations
from flows.queries import inputs
from flows.reports import media as reports_media
from flows.reports import page
from flows.reports.context import Context
from flows.reports.sections import parts
from flows.runs.run import Record
from models.evaluation.classification import Evaluation
from models.figures import overlays

#: Places of a patch along the shorter side: a third of the work of the usual 14.
POSITIONS = 8
#: Hits and mistakes shown, and the methods they are explained by, as the report calls them.
SHOWN = 3
METHODS = {"occlusion": "occlusion", "grad_cam": "Grad-CAM"}


def heatmaps(context: Context) -> Iterator[page.Section]:
    """Explain some answers of the training graph."""
    plan, record, dataset = context.plan, context.record, context.dataset
    functions = record.networks.functions(plan, record.run, dataset)
    values = inputs.coarse(context.network.featurizer.spec.shape, POSITIONS)
    chosen = [*hits(record, dataset), *worst(dataset, context.measured)]
    rows, raws = _readable(dataset, chosen)
    media: list[list[reports_media.Media]] = [[] for _ in raws]
    for name, words in METHODS.items():
        if name in functions and raws:
            for place, item in enumerate(
                _explained(functions[name], plan.task.raw.input, values, rows, raws, words)
            ):
                media[place].append(item)
    absent = context.state.absent
    shown = [item for items in media for item in items]
    yield parts.heatmaps(shown, {METHODS.get(name, name): why for name, why in absent.items()})


def hits(record: Record, dataset: Dataset) -> list[Any]:
    """Choose of each of the largest classes the right answer whose score is the middle one."""
    scores = np.load(record.run.outputs, allow_pickle=False)
    frame = dataset.measured
    targets = frame["target"].to_numpy(np.int64)
    right = scores.argmax(1) == targets
    found = []
    for label in np.argsort(-np.bincount(targets[right], minlength=len(dataset.labels)), kind="stable"):
        rows = np.flatnonzero(right & (targets == label))
        if len(rows):
            found.append(frame.iloc[rows[np.argsort(scores[rows, label], kind="stable")[len(rows) // 2]]])
    return found[:SHOWN]


def worst(dataset: Dataset, measured: Evaluation) -> list[Any]:
    """Choose the most confident mistakes."""
    return [dataset.measured.iloc[int(row)] for row in measured.mistakes.head(SHOWN)["row"]]


def _readable(dataset: Dataset, chosen: Sequence[Any]) -> tuple[list[Any], list[bytes]]:
    rows, raws = [], []
    for row in chosen:
        try:
            raws.append(dataset.read(row))
        except DataError:
            continue
        rows.append(row)
    return rows, raws


def _explained(
    function: Any,
    argument: str,
    values: Mapping[str, str],
    rows: Sequence[Any],
    raws: Sequence[bytes],
    method: str,
) -> list[reports_media.Media]:
    # One example at a time: the longest sound decides the size of a batch's map.
    return [
        _item(
            row,
            overlays.read(
                expectations.call(method, function, _question(function, argument, values, raw)).outputs
            ),
            method,
        )
        for row, raw in zip(rows, raws, strict=True)
    ]


def _question(function: Any, argument: str, values: Mapping[str, str], raw: bytes) -> dict[str, np.ndarray]:
    return {argument: np.array([raw], dtype=object)} | inputs.usual(function, [argument], 1, values)


def _item(row: Any, explanation: overlays.Explanation, method: str) -> reports_media.Media:
    hit = row["label"] == explanation.label
    told = f"is {row['label']}" if hit else f"is {row['label']}, taken for {explanation.label}"
    lines = [f"{told} ({explanation.score:.2f})", f"{method}, strongest {explanation.reach:.2g}"]
    picture = Image.fromarray(overlays.overlaid(explanation))
    sharp = max(picture.size) <= reports_media.SMALL
    if explanation.sound:
        picture = picture.resize(
            (reports_media.THUMBNAIL, reports_media.THUMBNAIL // 2), Image.Resampling.BILINEAR
        )
    stream = io.BytesIO()
    picture.save(stream, "PNG" if sharp else "JPEG", **({} if sharp else {"quality": 85}))
    mime = "image/png" if sharp else "image/jpeg"
    return reports_media.Media(str(row["name"]), lines, stream.getvalue(), mime, sharp=sharp)

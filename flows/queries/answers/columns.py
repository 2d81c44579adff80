"""An answer as rows of a table: one for each example, or one for each object or neighbour of it.

====================  ==================================================================
answer                columns between ``input`` and ``error``
====================  ==================================================================
a class               label, score
numbers               one by the name of each
points                NAME_x, NAME_y, NAME_score
boxes                 label, score, xmin, ymin, xmax, ymax; a row for each object
neighbours of images  cluster and distance where there are clusters; rank, path, score; a row for each
neighbours of words   rank, word, similarity; a row for each
any other             one by the name of each output; several values as JSON
====================  ==================================================================
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Cells = dict[str, Any]

#: Parts of an answer that are no output of the model.
_AROUND = frozenset({"input", "model", "version"})


def rows(answer: Mapping[str, Any]) -> list[Cells]:
    """Return the cells of an answer by column, without those of its input and of an error.

    Returns:
        At least one row; one without cells where nothing was detected.
    """
    make = next((make for shows, make in _KINDS if shows(answer)), _other)
    return list(make(answer)) or [{}]


def header(answer: Mapping[str, Any]) -> list[str]:
    """Return the columns of a table whose first answer this is."""
    if "boxes" in answer:
        return ["input", *_BOX, "error"]
    return ["input", *rows(answer)[0], "error"]


def _label(answer: Mapping[str, Any]) -> Iterator[Cells]:
    yield {"label": answer["label"], "score": answer["score"]}


def _numbers(answer: Mapping[str, Any]) -> Iterator[Cells]:
    yield dict(answer["values"])


def _points(answer: Mapping[str, Any]) -> Iterator[Cells]:
    cells: Cells = {}
    for (name, score), (x, y) in zip(answer["scores"].items(), answer["points"], strict=True):
        cells |= {f"{name}_x": x, f"{name}_y": y, f"{name}_score": score}
    yield cells


_BOX = ("label", "score", "xmin", "ymin", "xmax", "ymax")


def _boxes(answer: Mapping[str, Any]) -> Iterator[Cells]:
    for label, score, box in zip(answer["labels"], answer["scores"], answer["boxes"], strict=True):
        yield dict(zip(_BOX, (label, score, *box), strict=True))


def _images(answer: Mapping[str, Any]) -> Iterator[Cells]:
    group = {name: answer[name] for name in ("cluster", "distance") if name in answer}
    pairs = (pair for pair in zip(answer["paths"], answer["scores"], strict=True) if pair[0])
    for rank, (path, score) in enumerate(pairs, start=1):
        yield {**group, "rank": rank, "path": path, "score": score}


def _words(answer: Mapping[str, Any]) -> Iterator[Cells]:
    pairs = (pair for pair in zip(answer["words"], answer["similarities"], strict=True) if pair[0])
    for rank, (word, cosine) in enumerate(pairs, start=1):
        yield {"rank": rank, "word": word, "similarity": cosine}


def _other(answer: Mapping[str, Any]) -> Iterator[Cells]:
    yield {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
        for name, value in answer.items()
        if name not in _AROUND
    }


#: What shows that an answer is of a kind, and what makes its rows; the first that fits counts.
_KINDS: tuple[
    tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Iterator[Cells]]], ...
] = (
    (lambda answer: isinstance(answer.get("words"), list) and "similarities" in answer, _words),
    (lambda answer: isinstance(answer.get("paths"), list), _images),
    (lambda answer: "boxes" in answer, _boxes),
    (lambda answer: "points" in answer, _points),
    (lambda answer: isinstance(answer.get("values"), dict), _numbers),
    (lambda answer: "label" in answer and "score" in answer and "change" not in answer, _label),
)

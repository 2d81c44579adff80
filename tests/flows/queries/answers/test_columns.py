"""The rows of CSV that each kind of answer makes."""

import pytest

from flows.queries.answers.columns import header, rows

AROUND = {"input": "x", "model": "m", "version": 3}
#: An answer, its columns and its rows.
ANSWERS = {
    "class": (
        {"label": "cat", "score": 0.5, "scores": {"cat": 0.5, "dog": 0.5}},
        "label score",
        [["cat", 0.5]],
    ),
    "row": ({"label": "a", "score": 1.0, "missing": "x", "unknown": ""}, "label score", [["a", 1.0]]),
    "numbers": ({"values": {"angle": 1.5, "speed": 2.0}}, "angle speed", [[1.5, 2.0]]),
    "points": (
        {"points": [[1, 2], [3, 4]], "scores": {"a": 0.5, "b": 0.25}},
        "a_x a_y a_score b_x b_y b_score",
        [[1, 2, 0.5, 3, 4, 0.25]],
    ),
    "boxes": (
        {"boxes": [[1, 2, 3, 4], [5, 6, 7, 8]], "labels": ["a", "b"], "scores": [0.5, 0.25], "count": 2},
        "label score xmin ymin xmax ymax",
        [["a", 0.5, 1, 2, 3, 4], ["b", 0.25, 5, 6, 7, 8]],
    ),
    "no box": (
        {"boxes": [], "labels": [], "scores": [], "count": 0},
        "label score xmin ymin xmax ymax",
        [[]],
    ),
    "images": (
        {"paths": ["a", "b", ""], "scores": [1.0, 0.5, 0.0], "ids": ["1", "2", ""]},
        "rank path score",
        [[1, "a", 1.0], [2, "b", 0.5]],
    ),
    "cluster": (
        {"paths": ["a"], "scores": [1.0], "ids": ["1"], "cluster": 4, "distance": 0.5},
        "cluster distance rank path score",
        [[4, 0.5, 1, "a", 1.0]],
    ),
    "words": (
        {"words": ["king", ""], "similarities": [0.5, 0.0], "known": True},
        "rank word similarity",
        [[1, "king", 0.5]],
    ),
    "other": ({"text": "hello", "times": [1, 2]}, "text times", [["hello", "[1, 2]"]]),
    "explained": (
        {"label": "a", "score": 0.5, "tokens": ["ü"], "change": [0.1]},
        "label score tokens change",
        [["a", 0.5, '["ü"]', "[0.1]"]],
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_rows_of_an_answer(name: str) -> None:
    outputs, columns, wanted = ANSWERS[name]
    answer = {**AROUND, **outputs}
    assert header(answer) == ["input", *columns.split(), "error"]
    assert [list(row.values()) for row in rows(answer)] == wanted
    assert all(list(row) in (columns.split(), []) for row in rows(answer))

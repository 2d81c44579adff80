"""What galleries ask of the gate: texts that are left open where two items nearly tie."""

from pathlib import Path

import numpy as np

from flows.gate import expectations
from flows.gate.checks import _difference


def texts(*cells: bytes | str | None) -> np.ndarray:
    return np.array([list(cells)], dtype=object)


def test_a_text_that_is_left_open_differs_from_none() -> None:
    wanted = texts("a", None, "c")
    assert _difference(texts(b"a", b"anything", b"c"), wanted).tolist() == [[0, 0, 0]]
    assert _difference(texts(b"a", b"b", b"d"), wanted).tolist() == [[0, 0, 1]]
    # The word itself is a text like any other.
    assert _difference(texts(b"x"), texts("None")).tolist() == [[1]]


def test_what_is_left_open_is_kept_with_the_answers(tmp_path: Path) -> None:
    answers = {"paths": texts(b"a", None, b"\xc3\xa9"), "scores": np.array([[0.5, 0.4, 0.4]])}
    expectations.write_expectations(tmp_path / "kept", [b"raw"], answers)
    expectations.write_calls(
        tmp_path / "kept", [expectations.Call("search", {"k": np.array([3], np.int32)}, answers)]
    )
    raws, found = expectations.read_expectations(tmp_path / "kept")
    assert (raws, found["paths"].tolist()) == ([b"raw"], [["a", None, "é"]])
    (call,) = expectations.read_calls(tmp_path / "kept")
    assert call.outputs["paths"].tolist() == answers["paths"].tolist()
    assert call.inputs["k"].dtype == np.int32

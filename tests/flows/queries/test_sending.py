"""Batches: how they grow, are cut where the model refuses them, and stay within bounds."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.errors import UnavailableError
from flows.queries import sending, writers
from flows.queries.question import Question
from flows.queries.requests import Requests
from flows.queries.sending import FIRST_ROWS, MOST_ROWS, Pace, is_by_row
from serving.client.answers import Answer, Metadata, Signature, TensorSpec
from serving.client.client import Client
from serving.config import Options
from serving.errors import InvalidArgument
from serving.server.server import Server
from tests.serving import saved_models


class Model:
    """A model that takes at most so many rows, refuses a word, and keeps how many rows it was sent."""

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self.sent: list[int] = []

    def predict(self, model: str, inputs: Any, /, *, signature: Any = None, version: Any = None) -> Answer:
        rows = inputs["text"]
        self.sent.append(len(rows))
        if len(rows) > self.most or b"bad" in rows:
            raise InvalidArgument("assertion failed: [bad word]\n\t [[{{node Assert}}]]", model=model)
        return Answer({"label": rows, "score": np.array([len(row) for row in rows])}, model, 1, "s")

    def metadata(self, model: str, version: int | None = None) -> Metadata:
        return Metadata(model, 1, {"serving_default": by_row(label=(None,), score=(None,))})

    def models(self) -> list[Any]:
        return []


def by_row(**outputs: tuple[int | None, ...] | None) -> Signature:
    specs = {name: TensorSpec("string", shape) for name, shape in outputs.items()}
    return Signature("serving_default", "", {"text": TensorSpec("string", (None,))}, specs)


def outcomes(model: Model, texts: list[str]) -> list[sending.Outcome]:
    requests = [
        sending.Request(text, lambda text=text: {"text": np.array([text.encode()], object)}, None)
        for text in texts
    ]
    return list(sending.Sending(model, "m", None, model.metadata("m")).outcomes(requests))


@pytest.mark.parametrize("most", [1, 3, 100])
def test_a_batch_that_is_refused_is_sent_in_parts(most: int) -> None:
    texts = ["bad" if number % 17 == 3 else f"text {number}" for number in range(200)]
    model = Model(most)
    found = outcomes(model, texts)
    assert [one.shown for one in found] == texts
    for one in found:
        if one.shown == "bad":
            assert str(one.error) == "bad: refused by model m: bad word"
        else:
            assert one.answer is not None
            assert one.answer["label"].tolist() == [one.shown.encode()]
            assert one.answer["score"].tolist() == [len(one.shown)]
    if most == 1:  # what the model does not take is not tried again and again
        assert sum(size > 1 for size in model.sent) < 30


def paced(seconds: Callable[[int], float]) -> int:
    """Return the rows of a batch after many that took so long."""
    pace = Pace()
    for _ in range(100):
        pace.follow(pace.rows, seconds(pace.rows))
        pace.follow(1, 0.001)  # what is left at the end is no measure
    return pace.rows


def test_batches_grow_as_long_as_more_rows_a_second_are_answered() -> None:
    assert paced(lambda rows: 0.001) == MOST_ROWS
    assert paced(lambda rows: 0.001 + 0.025 * rows) == FIRST_ROWS
    assert paced(lambda rows: 0.05 + 0.025 * rows) == 4 * FIRST_ROWS
    assert paced(lambda rows: 10.0) == 1
    pace = Pace()
    pace.limit(2)
    assert pace.rows == 2
    for _ in range(10):
        pace.follow(2, 0.01)
    assert pace.rows == 2


def test_large_examples_make_small_batches() -> None:
    model = Model()
    text = "x" * (sending.MOST_BYTES // 2 - 10)
    assert all(one.error is None for one in outcomes(model, [text] * 10))
    assert max(model.sent) == 2


def test_rows_are_joined_where_their_answers_do_not_depend_on_each_other() -> None:
    assert is_by_row(by_row(label=(None,), scores=(None, 3)))
    assert is_by_row(by_row(count=(None,), boxes=(None, None, 4), scores=(None, None)))
    assert is_by_row(by_row(ids=(None, None), paths=(None, None), scores=(None, None)))
    assert not is_by_row(by_row(tokens=(None, None)))
    assert not is_by_row(by_row(boxes=(None, None, 4)))
    assert not is_by_row(by_row(total=()))
    assert not is_by_row(by_row(any=None))


def test_a_server_that_goes_away_ends_it_and_what_was_answered_stays(tmp_path: Path) -> None:
    saved_models.line(tmp_path / "line" / "1", b=2.0)
    out = tmp_path / "answers.json"
    requests = (
        sending.Request(str(number), lambda number=number: {"x": np.array([number], np.float32)}, None)
        for number in range(10_000)
    )

    def ask(client: Client, file: writers.Writer, after: Callable[[], None]) -> None:
        for outcome in sending.Sending(client, "line", None, client.metadata("line")).outcomes(requests):
            assert outcome.answer is not None
            file.write({"input": outcome.shown, "y": outcome.answer["y"].tolist()})
            after()

    with (
        Server(Options(port=0, model_name="line", model_base_path=tmp_path / "line")) as short,
        Client(short.target, retries=0) as client,
        writers.opened(table=None, out=out, as_json=False) as (file,),
        pytest.raises(UnavailableError, match="no model server at"),
    ):
        ask(client, file, lambda: short.stop(0))
    found = json.loads(out.read_text())
    assert 0 < len(found) < 10_000
    assert found == [{"input": str(number), "y": [number / 2 + 2]} for number in range(len(found))]


def test_rows_that_are_piped_in_are_answered_beside_those_of_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted first, and standard input can be read only once."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1,2\n3,4\n")))
    (tmp_path / "some.csv").write_text("a,b\n5,6\n")
    specs = {name: TensorSpec("string", (None,)) for name in ("a", "b")}
    signatures = {
        "serving_default": Signature("serving_default", "", {"row": TensorSpec("string", (None,))}, {}),
        "from_cells": Signature("from_cells", "", specs, {}),
    }
    model = Model()
    monkeypatch.setattr(model, "metadata", lambda name, version=None: Metadata(name, 1, signatures))
    requests = Requests(Question("iris", [tmp_path / "some.csv", "-"]), model, tmp_path)
    assert requests.count() == 3
    sent = [{name: values.tolist() for name, values in one.read().items()} for one in requests]
    assert sent == [{"a": [b"5"], "b": [b"6"]}, {"row": [b"1,2"]}, {"row": [b"3,4"]}]
    assert [one.signature for one in requests] == ["from_cells", None, None]


def test_memory_is_bounded() -> None:
    """Examples are read as their turn comes."""
    read = []

    def requests() -> Iterator[sending.Request]:
        for number in range(5000):
            read.append(number)
            yield sending.Request("x", lambda: {"text": np.array([b"x"], object)}, None)

    model = Model()
    going = sending.Sending(model, "m", None, model.metadata("m")).outcomes(requests())
    next(going)
    assert len(read) <= 2 * sending.READERS + (sending.SENDERS + 1) * MOST_ROWS
    going.close()

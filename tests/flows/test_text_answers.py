"""A live text model: every text of every script comes back as it was sent, over gRPC and REST."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import NoInputError
from flows.queries import question
from flows.queries.reading import raw_inputs
from models.export import export
from models.tasks.text_classification import TEXT_CLASSIFICATION
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests.models.networks.texts.test_text_networks import SMALL, blueprint

LABELS = ("bad", "good")
#: No blanks, which are told from each other by no token, and no NUL, which ingest refuses.
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve an untrained network over characters; its explanations name the tokens it read."""
    network = TEXT_CLASSIFICATION.build(blueprint(SMALL["cnn"], tokens="characters", lowercase=False))
    base = tmp_path_factory.mktemp("text") / "echo"
    export.export(network, TEXT_CLASSIFICATION, LABELS, base / "1", warmup=[b"a"], model_name="echo")
    with Server(Options(port=0, rest_port=0, model_name="echo", model_base_path=base)) as running:
        yield running


@given(st.lists(TEXTS, min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_texts_come_back_over_grpc(server: Server, texts: list[str]) -> None:
    with Client(server.target) as client:
        sent = np.array([text.encode() for text in texts], dtype=object)
        found = client.predict("echo", {"text": sent}, signature="explain")["tokens"]
    assert [b"".join(row).decode() for row in found] == texts


@given(TEXTS)
@settings(max_examples=40, deadline=None)
def test_texts_come_back_over_rest(server: Server, text: str) -> None:
    body = json.dumps({"signature_name": "explain", "inputs": {"text": [text]}}).encode()
    url = f"http://{server.rest_target}/v1/models/echo:predict"
    with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
        found = json.load(answer)["outputs"]
    assert "".join(found["tokens"][0]) == text


def test_the_vocabulary_is_an_asset(server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    (asset,) = tmp_path_factory.getbasetemp().glob("text0/echo/1/assets/vocabulary*.txt")
    assert asset.read_text() == "a\nb\nc\n"


def test_bytes_that_are_no_text_are_refused_alone(server: Server) -> None:
    with Client(server.target) as client:
        with pytest.raises(Exception, match=r"(?i)invalid"):
            client.predict("echo", {"text": np.array([b"\xff\xfe"], dtype=object)})
        assert client.predict("echo", {"text": np.array([b"a"], dtype=object)})["tokens"].tolist() == [1]


def test_predict_sends_texts_as_given_and_files_that_are_named(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "review.txt"
    path.write_text("a b")
    texts = ["a c b", str(path), "x" * 5000]
    answers = list(question.answers(question.Question("echo", texts), server.target))
    assert [answer["tokens"] for answer in answers] == [5, 3, 5000]
    assert [answer["input"] for answer in answers] == texts
    (command,) = question.commands(question.Question("echo", ["a c"]), server.target, "127.0.0.1:1")
    assert '{"text": ["a c"]}' in command
    (explained,) = question.answers(question.Question("echo", ["abc"], signature="explain"), server.target)
    drawn = question.coloured(explained)
    assert drawn is not None
    assert drawn.plain.endswith(": a b c ")
    assert len(drawn.spans) == 3
    assert question.coloured(answers[0]) is None
    assert question.sentence(answers[0]).startswith("a c b: ")


def test_other_inputs_are_files_that_must_exist() -> None:
    with pytest.raises(NoInputError, match=r"no such file; got nowhere\.jpg"):
        raw_inputs.read(["nowhere.jpg"], "image_bytes")
    with pytest.raises(NoInputError, match="no such file; got nowhere"):
        raw_inputs.read(["nowhere"], "audio_bytes")

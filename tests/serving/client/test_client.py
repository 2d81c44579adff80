"""The client: NumPy in, NumPy out, typed metadata, plain errors."""

import socket

import grpc
import numpy as np
import pytest

from features.errors import UnavailableError, UsageError
from serving.client.client import Client, Signature, TensorSpec, VersionStatus
from serving.errors import FailedPrecondition, InvalidArgument, NotFound


def test_predict_takes_arrays_by_name_and_by_mapping(client):
    x = np.array([0, 2], np.float32)
    answer = client.predict("line", x=x)
    assert answer["y"].tolist() == [6.0, 7.0]
    assert answer["y"].dtype == np.float32
    assert (answer.model, answer.version, answer.signature) == ("line", 3, "serving_default")
    assert client.predict("line", {"x": x})["y"].tolist() == [6.0, 7.0]
    assert client.predict("line", {"x": x}, version=2).version == 2


def test_lists_become_the_dtype_of_the_signature(client):
    answer = client.predict("zoo", a=[[1, 2], [3, 4]], b=[5, 6], c=["é", b"\x00"])
    assert answer["sum"].tolist() == [3.0, 7.0]
    assert answer["twice"].tolist() == [10, 12]
    assert answer["length"].tolist() == [2, 1]
    assert answer["same"].tolist() == ["é".encode(), b"\x00"]


def test_arrays_travel_as_they_are(client):
    with pytest.raises(InvalidArgument, match="int64"):
        client.predict("line", x=np.array([1, 2], np.int64))


def test_metadata_and_status_are_typed(client):
    metadata = client.metadata("line")
    assert (metadata.model, metadata.version) == ("line", 3)
    assert metadata.signature() == Signature(
        "serving_default",
        "tensorflow/serving/predict",
        {"x": TensorSpec("float32", (None,))},
        {"y": TensorSpec("float32", (None,))},
    )
    assert client.metadata("zoo").signature("any_rank").inputs["x"] == TensorSpec("float32", None)
    with pytest.raises(UsageError, match=r"has no signature nothing.*expected one of serving_default"):
        metadata.signature("nothing")
    assert client.status("line") == [VersionStatus(3, "AVAILABLE"), VersionStatus(2, "AVAILABLE")]
    assert client.status("line", version=2)[0].available


def test_errors_carry_model_version_and_the_servers_words(client):
    with pytest.raises(NotFound) as caught:
        client.predict("line", x=[1.0], version=9)
    assert (caught.value.model, caught.value.version) == ("line", 9)
    assert str(caught.value) == "model line version 9: Servable not found for request: Specific(line, 9)"
    with pytest.raises(FailedPrecondition, match='"nothing" not found'):
        client.predict("line", x=np.ones(1, np.float32), signature="nothing")
    with pytest.raises(UsageError, match="a version and a label"):
        client.predict("line", x=[1.0], version=1, label="stable")


def test_nobody_at_the_target_is_told_with_what_to_do():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with (
            Client(f"127.0.0.1:{held.getsockname()[1]}", timeout=5) as client,
            pytest.raises(UnavailableError, match=r"no model server at .*servable serve"),
        ):
            client.predict("line", x=np.ones(1, np.float32))


def test_a_channel_that_was_given_stays_open(server):
    with grpc.insecure_channel(server.target) as channel:
        with Client(server.target, channel=channel) as client:
            assert client.status("zoo")[0].available
        with Client(server.target, channel=channel) as client:
            assert client.status("zoo")[0].available

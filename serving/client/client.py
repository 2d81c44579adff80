"""A client of TensorFlow Serving's gRPC API; it works with the embedded server and the real one alike."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from google.protobuf import empty_pb2

from serving.client import answers, example_requests, requests
from serving.client.answers import (
    DEFAULT_SIGNATURE,
    SIGNATURE_DEF,
    Answer,
    Metadata,
    Model,
    Signature,
    TensorSpec,
    VersionStatus,
)
from serving.client.connection import Connection, no_list
from serving.client.example_requests import Class, Example
from serving.client.stubs import Stubs

__all__ = [
    "DEFAULT_SIGNATURE",
    "SIGNATURE_DEF",
    "Answer",
    "Class",
    "Client",
    "Example",
    "Metadata",
    "Model",
    "Signature",
    "TensorSpec",
    "VersionStatus",
]


class Client:
    """Asks a model server.

    Args:
        target: host and port, as ``127.0.0.1:8500``, or ``unix:PATH``.
        timeout: seconds for each call, all its retries included.
        channel: a channel to use instead of making one (interceptors, tests); it is not closed.
        **settings: retries, token, tls, root_certificates, private_key, certificate, client_key: see
            Connection.

    Raises:
        ConfigError: the settings cannot be, or would send the token unencrypted.
    """

    def __init__(
        self, target: str, *, timeout: float = 30.0, channel: grpc.Channel | None = None, **settings: Any
    ) -> None:
        self.target, self.timeout = target, timeout
        self.connection = Connection(target, timeout, **settings)
        self._own = channel is None
        self._channel = self.connection.channel() if channel is None else channel
        self._stubs = Stubs(self._channel)
        self._signatures: dict[tuple[str, int | None, str | None], Metadata] = {}

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel, if the client made it."""
        if self._own:
            self._channel.close()

    def with_key(self, client_key: str) -> Self:
        """Return a client of the same channel with another ``client_key``, for one user of many."""
        other = copy.copy(self)
        other.connection, other._own = dataclasses.replace(self.connection, client_key=client_key), False
        return other

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
        **named: Any,
    ) -> Answer:
        """Call a signature.

        Args:
            model: the model's name.
            inputs: arrays by input name: for names that are no Python names or stand below.
            signature: the signature; None means ``serving_default``.
            version: a version by number; None with no label means the server's choice, the newest.
            label: a version by label, as ``stable``.
            **named: arrays by input name, sent as they are; lists and single values are made arrays of
                the dtype that the signature says.

        Raises:
            UnavailableError: no server answers at the target.
            ServerError: the server refused; carries its words.
            UsageError: version and label are both given.
        """
        values = {**(inputs or {}), **named}
        spec = requests.spec(model, version, label)
        metadata = self._known(model, version, label) if requests.needs_metadata(values) else None
        request = requests.predict(spec, signature, values, metadata)
        return answers.answer(self._call(self._stubs.predict, request, model, version), model)

    def classify(
        self,
        model: str,
        examples: Sequence[Example],
        *,
        context: Example | None = None,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
    ) -> list[tuple[Class, ...]]:
        """Return the classes of each example with their scores.

        Args:
            model: the model's name.
            examples: values by feature name for each example; what the model parses as tf.Example.
            context: features that all examples have in common.
            signature: the signature; None means ``serving_default``.
            version: a version by number; None with no label means the newest.
            label: a version by label.

        Raises:
            UnavailableError: no server answers at the target.
            ServerError: the server refused; carries its words.
            UsageError: a feature holds what no tf.Example can, or version and label are both given.
        """
        spec = requests.spec(model, version, label)
        request = example_requests.classify(spec, signature, examples, context)
        return example_requests.classes(self._call(self._stubs.classify, request, model, version))

    def regress(
        self,
        model: str,
        examples: Sequence[Example],
        *,
        context: Example | None = None,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
    ) -> np.ndarray:
        """Return a number for each example, as float32.

        Args:
            model: the model's name.
            examples: values by feature name for each example; what the model parses as tf.Example.
            context: features that all examples have in common.
            signature: the signature; None means ``serving_default``.
            version: a version by number; None with no label means the newest.
            label: a version by label.

        Raises:
            UnavailableError: no server answers at the target.
            ServerError: the server refused; carries its words.
            UsageError: a feature holds what no tf.Example can, or version and label are both given.
        """
        spec = requests.spec(model, version, label)
        request = example_requests.regress(spec, signature, examples, context)
        return example_requests.values(self._call(self._stubs.regress, request, model, version))

    def _known(self, model: str, version: int | None, label: str | None) -> Metadata:
        key = (model, version, label)
        if key not in self._signatures:
            self._signatures[key] = self.metadata(model, version, label=label)
        return self._signatures[key]

    def models(self) -> list[Model]:
        """Return every model of the server with the state of its versions, by name.

        Raises:
            UnavailableError: no server answers at the target.
            Unimplemented: the server does not list its models, as TensorFlow Serving does not.
        """
        try:
            listed = self._stubs.models(
                empty_pb2.Empty(), timeout=self.timeout, metadata=self.connection.metadata
            )
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise no_list(self.target) from None
            raise self.connection.error(error, None, None) from None
        return [Model(name, tuple(self.status(name))) for name in listed]

    def status(self, model: str, version: int | None = None) -> list[VersionStatus]:
        """Return the state of every version of a model, or of one, the newest first.

        Raises:
            UnavailableError: no server answers at the target.
            NotFound: the server knows no such model or version.
        """
        request = requests.status(model, version)
        return answers.statuses(self._call(self._stubs.status, request, model, version))

    def metadata(self, model: str, version: int | None = None, *, label: str | None = None) -> Metadata:
        """Return a model's signatures.

        Raises:
            UnavailableError: no server answers at the target.
            NotFound: the server serves no such model or version.
        """
        request = requests.metadata(requests.spec(model, version, label))
        return answers.metadata(self._call(self._stubs.metadata, request, model, version), model)

    def _call(self, method: Any, request: Any, model: str, version: int | None) -> Any:
        try:
            return method(request, timeout=self.timeout, metadata=self.connection.metadata)
        except grpc.RpcError as error:
            raise self.connection.error(error, model, version) from None

"""The client for asyncio: the same calls, awaited."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from google.protobuf import empty_pb2

from serving.client import answers, example_requests, requests
from serving.client.answers import Answer, Metadata, Model, VersionStatus
from serving.client.connection import Connection, no_list
from serving.client.example_requests import Class, Example
from serving.client.stubs import Stubs


class AsyncClient:
    """Asks a model server from asyncio; made and used within one event loop.

    Args:
        target: host and port, as ``127.0.0.1:8500``, or ``unix:PATH``.
        timeout: seconds for each call, all its retries included.
        channel: a ``grpc.aio`` channel to use instead of making one; it is not closed.
        **settings: retries, token, tls, root_certificates, private_key, certificate, client_key: see
            Connection.

    Raises:
        ConfigError: the settings cannot be, or would send the token unencrypted.
    """

    def __init__(
        self, target: str, *, timeout: float = 30.0, channel: grpc.aio.Channel | None = None, **settings: Any
    ) -> None:
        self.target, self.timeout = target, timeout
        self.connection = Connection(target, timeout, **settings)
        self._own = channel is None
        self._channel = self.connection.channel(grpc.aio) if channel is None else channel
        self._stubs = Stubs(self._channel)
        self._signatures: dict[tuple[str, int | None, str | None], Metadata] = {}

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel, if the client made it."""
        if self._own:
            await self._channel.close()

    def with_key(self, client_key: str) -> Self:
        """Return a client of the same channel with another ``client_key``, for one user of many."""
        other = copy.copy(self)
        other.connection, other._own = dataclasses.replace(self.connection, client_key=client_key), False
        return other

    async def predict(
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
        """Call a signature; arguments and errors as for Client.predict."""
        values = {**(inputs or {}), **named}
        spec = requests.spec(model, version, label)
        metadata = await self._known(model, version, label) if requests.needs_metadata(values) else None
        request = requests.predict(spec, signature, values, metadata)
        return answers.answer(await self._call(self._stubs.predict, request, model, version), model)

    async def classify(
        self,
        model: str,
        examples: Sequence[Example],
        *,
        context: Example | None = None,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
    ) -> list[tuple[Class, ...]]:
        """Return the classes of each example with scores; arguments and errors as for Client.classify."""
        spec = requests.spec(model, version, label)
        request = example_requests.classify(spec, signature, examples, context)
        return example_requests.classes(await self._call(self._stubs.classify, request, model, version))

    async def regress(
        self,
        model: str,
        examples: Sequence[Example],
        *,
        context: Example | None = None,
        signature: str | None = None,
        version: int | None = None,
        label: str | None = None,
    ) -> np.ndarray:
        """Return a number for each example, as float32; arguments and errors as for Client.regress."""
        spec = requests.spec(model, version, label)
        request = example_requests.regress(spec, signature, examples, context)
        return example_requests.values(await self._call(self._stubs.regress, request, model, version))

    async def _known(self, model: str, version: int | None, label: str | None) -> Metadata:
        key = (model, version, label)
        if key not in self._signatures:
            self._signatures[key] = await self.metadata(model, version, label=label)
        return self._signatures[key]

    async def models(self) -> list[Model]:
        """Return every model of the server with the state of its versions; as for Client.models."""
        try:
            listed = await self._stubs.models(
                empty_pb2.Empty(), timeout=self.timeout, metadata=self.connection.metadata
            )
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise no_list(self.target) from None
            raise self.connection.error(error, None, None) from None
        return [Model(name, tuple(await self.status(name))) for name in listed]

    async def status(self, model: str, version: int | None = None) -> list[VersionStatus]:
        """Return the state of every version of a model, or of one; as for Client.status."""
        request = requests.status(model, version)
        return answers.statuses(await self._call(self._stubs.status, request, model, version))

    async def metadata(self, model: str, version: int | None = None, *, label: str | None = None) -> Metadata:
        """Return a model's signatures; as for Client.metadata."""
        request = requests.metadata(requests.spec(model, version, label))
        response = await self._call(self._stubs.metadata, request, model, version)
        return answers.metadata(response, model)

    async def _call(self, method: Any, request: Any, model: str, version: int | None) -> Any:
        try:
            return await method(request, timeout=self.timeout, metadata=self.connection.metadata)
        except grpc.RpcError as error:
            raise self.connection.error(error, model, version) from None

"""A published model loaded in this process: it answers as a server of it does, without one."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from features.errors import NoInputError
from serving import errors, messages
from serving.client import answers, requests
from serving.client.answers import Answer, Metadata, Model, VersionStatus
from serving.engine.servable import Servable
from serving.inference import predict as inference
from serving.repository.repository import Repository


class LocalModel:
    """One version of a published model, with the calls of a client.

    Args:
        repository: where it is published.
        name: the model's name.
        version: None for the stable one.

    Raises:
        NotFound: there is no such model, or no such version of it.
        ServerError: it cannot be loaded.
    """

    def __init__(self, repository: Repository, name: str, version: int | None = None) -> None:
        self._repository = repository
        number = repository.stable(name) if version is None else version
        if number is None:
            raise errors.NotFound("no version is published", model=name)
        try:
            release = repository.release(name, number)
        except NoInputError as error:
            raise errors.NotFound(str(error), model=name, version=number) from None
        self._servable = Servable(name, number, release.path)
        self._described: Metadata | None = None

    def __enter__(self) -> "LocalModel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the model to the process's end, which frees it at once."""

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        signature: str | None = None,
        version: int | None = None,
    ) -> Answer:
        """Call a signature; arguments and errors as for Client.predict."""
        metadata = self.metadata(model) if requests.needs_metadata(inputs or {}) else None
        arrays = requests.arrays(inputs or {}, signature, metadata)
        name, outputs = inference.predict_arrays(self._servable, signature or "", arrays)
        return Answer(outputs, model, self._servable.version, name)

    def metadata(self, model: str, version: int | None = None) -> Metadata:
        """Return the model's signatures; as for Client.metadata."""
        if self._described is None:
            signatures = messages.SignatureDefMap()
            for name, signature in self._servable.signatures.items():
                signatures.signature_def[name].ParseFromString(signature.SerializeToString())
            self._described = answers.described(model, self._servable.version, signatures)
        return self._described

    def models(self) -> list[Model]:
        """Return every published model; as for Client.models."""
        return [
            Model(
                name, tuple(VersionStatus(n, "AVAILABLE") for n in reversed(self._repository.versions(name)))
            )
            for name in self._repository.models()
        ]

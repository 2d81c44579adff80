"""What answers about models: a server, through a client, or a release loaded in this process."""

from collections.abc import Mapping
from typing import Any, Protocol

from serving.client.answers import Answer, Metadata, Model


class Predictor(Protocol):
    """The calls that a client of a server and a model in this process have in common; they raise alike."""

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        signature: str | None = None,
        version: int | None = None,
    ) -> Answer:
        """Call a signature."""
        ...

    def metadata(self, model: str, version: int | None = None) -> Metadata:
        """Return a model's signatures."""
        ...

    def models(self) -> list[Model]:
        """Return every model that answers."""
        ...

"""Ask a model server what it serves: states of versions, signatures."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flows.queries import refusals
from serving.client import commands
from serving.client.client import Client
from serving.errors import ServerError
from serving.security import PLAIN, Security

#: Columns and rows of a table, and the same as plain objects.
Answer = tuple[list[str], list[list[Any]], list[dict[str, Any]]]


def status(name: str, version: int | None, client: Client) -> Answer:
    """Return the state of a model's versions, the newest first."""
    objects = [asdict(one) for one in client.status(name, version)]
    return list(objects[0]), [list(one.values()) for one in objects], objects


def metadata(name: str, version: int | None, client: Client) -> Answer:
    """Return a model's signatures: a row for each tensor."""
    model_metadata = client.metadata(name, version)
    rows = [
        [
            model_metadata.version,
            signature.name,
            way,
            tensor,
            spec.dtype,
            "?" if spec.shape is None else list(spec.shape),
        ]
        for signature in model_metadata.signatures.values()
        for way, tensors in (("input", signature.inputs), ("output", signature.outputs))
        for tensor, spec in tensors.items()
    ]
    return ["version", "signature", "way", "name", "dtype", "shape"], rows, [asdict(model_metadata)]


INQUIRIES: dict[str, Callable[[str, int | None, Client], Answer]] = {"status": status, "metadata": metadata}


def inquire(what: str, name: str, version: int | None, target: str, security: Security = PLAIN) -> Answer:
    """Ask a server about a model: ``status`` or ``metadata``.

    Raises:
        UnavailableError: no server answers at the target.
        ServerError: the server has no such model or version.
    """
    with Client(target, **security.settings()) as client:
        try:
            return INQUIRIES[what](name, version, client)
        except ServerError as error:
            raise refusals.cleaned(error, client) from error


_COMMANDS: dict[tuple[str, bool], Callable[..., str]] = {
    ("status", True): commands.curl_status,
    ("status", False): commands.grpcurl_status,
    ("metadata", True): commands.curl_metadata,
    ("metadata", False): commands.grpcurl_metadata,
}


def command(
    what: str, name: str, version: int | None, target: str, *, rest: bool, security: Security = PLAIN
) -> str:
    """Write the shell command that asks the same: curl where `rest`, else grpcurl."""
    return _COMMANDS[what, rest](target, name, version, security=security)

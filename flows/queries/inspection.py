"""Ask a model server what it serves: states of versions, signatures."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from serving.client import commands
from serving.client.client import Client

#: Columns and rows of a table, and the same as plain objects.
Answer = tuple[list[str], list[list[Any]], list[dict[str, Any]]]


def status(name: str, version: int | None, target: str) -> Answer:
    """Return the state of a model's versions, the newest first."""
    with Client(target) as client:
        objects = [asdict(one) for one in client.status(name, version)]
    return list(objects[0]), [list(one.values()) for one in objects], objects


def metadata(name: str, version: int | None, target: str) -> Answer:
    """Return a model's signatures: a row for each tensor."""
    with Client(target) as client:
        found = client.metadata(name, version)
    rows = [
        [
            found.version,
            signature.name,
            way,
            tensor,
            spec.dtype,
            "?" if spec.shape is None else list(spec.shape),
        ]
        for signature in found.signatures.values()
        for way, tensors in (("input", signature.inputs), ("output", signature.outputs))
        for tensor, spec in tensors.items()
    ]
    return ["version", "signature", "way", "name", "dtype", "shape"], rows, [asdict(found)]


INQUIRIES: dict[str, Callable[[str, int | None, str], Answer]] = {"status": status, "metadata": metadata}

_COMMANDS: dict[tuple[str, bool], Callable[..., str]] = {
    ("status", True): commands.curl_status,
    ("status", False): commands.grpcurl_status,
    ("metadata", True): commands.curl_metadata,
    ("metadata", False): commands.grpcurl_metadata,
}


def command(what: str, name: str, version: int | None, target: str, *, rest: bool) -> str:
    """Write the shell command that asks the same: curl where `rest`, else grpcurl."""
    return _COMMANDS[what, rest](target, name, version)

"""Examine one example: read it without being fooled, hash it, decode it fully.

This runs in the decoder processes and imports nothing that takes long.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from features.ingest.verdicts.facts import Facts
from features.ingest.verdicts.kinds import Reader
from features.names import printable, suffix_of
from features.quarantine import RefusedError
from features.storage.files import read_file, writing

#: Raised by one when a reader starts to judge the same content differently: old verdicts are then redone.
VERSION = 3

_DETAIL = 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about one example: accepted where ``reason`` is None.

    Attributes:
        sha256: of the bytes that `Dataset.read` gives back; None where they could not be read.
        size: their number.
        stamp: (size, mtime_ns, ctime_ns, inode) of the file as read; None for a table's own cell.
        reason: a key of quarantine.REASONS, or None.
        detail: what exactly was found.
        format: as Facts.format.
        identity: as Facts.identity.
        measures: as Facts.measures.
        notes: as Facts.notes.
        stored: path of the converted content that stands in for the file, or None.
        variant: as Facts.variant.
        odd: as Facts.odd.
    """

    sha256: str | None = None
    size: int | None = None
    stamp: tuple[int, int, int, int] | None = None
    reason: str | None = None
    detail: str = ""
    format: str = ""
    identity: str = ""
    measures: Mapping[str, int | float] | None = None
    notes: tuple[str, ...] = ()
    stored: str | None = None
    variant: str = ""
    odd: bool = False


def plain_of(verdict: Verdict) -> dict[str, Any]:
    """Return what a verdict says, for JSON: fields that are empty are left out."""
    values = {field.name: getattr(verdict, field.name) for field in fields(verdict)}
    return {name: value for name, value in values.items() if value not in (None, "", (), False)}


def restored(plain: Mapping[str, Any]) -> Verdict:
    """Return the verdict that was written as JSON."""
    stamp = plain.get("stamp")
    return Verdict(**{**plain, "stamp": stamp and tuple(stamp), "notes": tuple(plain.get("notes", ()))})


def examine(
    path: bytes | None, content: bytes | None, reader: Reader, rules: Mapping[str, Any], store: bytes | None
) -> Verdict:
    """Read, hash and decode one example; never raises for what the example is.

    Args:
        path: of the file, or None where `content` holds the example itself.
        content: a table's cell, or None.
        reader: the raw kind's check.
        rules: ``max_file_bytes`` and what the reader wants.
        store: folder for converted content, or None.
    """
    stamp = None
    digest, size = None, None
    try:
        if content is None:
            assert path is not None, "an example is a file or a cell"
            content, stamp = read_file(path, rules["max_file_bytes"])
        digest, size = hashlib.sha256(content).hexdigest(), len(content)
        if not content:
            raise RefusedError("empty", "0 bytes")
        facts = reader(content, suffix_of(path or b""), rules)
    except RefusedError as refusal:
        detail = printable(refusal.detail[:_DETAIL])
        return Verdict(digest, size, stamp, reason=refusal.reason, detail=detail)
    except MemoryError:
        detail = "reading it needs more memory than a decoder process is allowed"
        return Verdict(digest, size, stamp, reason="too_large", detail=detail)
    return _accept(facts, digest, size, stamp, store)


def _accept(
    facts: Facts, digest: str, size: int, stamp: tuple[int, int, int, int] | None, store: bytes | None
) -> Verdict:
    stored = None
    if facts.stored is not None:
        assert store is not None, "a reader that converts needs a store"
        digest, size = hashlib.sha256(facts.stored).hexdigest(), len(facts.stored)
        stored = _keep(facts.stored, digest, store)
    return Verdict(
        digest,
        size,
        stamp,
        format=facts.format,
        identity=facts.identity,
        measures=dict(facts.measures),
        notes=facts.notes,
        stored=stored,
        variant=facts.variant,
        odd=facts.odd,
    )


def _keep(data: bytes, digest: str, store: bytes) -> str:
    path = Path(os.fsdecode(store), digest[:2], digest)
    if not path.exists():
        with writing(path) as stream:
            stream.write(data)
    return str(path)

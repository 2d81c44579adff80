"""The parts that every raw kind brings in its own folder, found by their names.

A raw kind's folder (``RawKind.folder``) stands above this one, which therefore cannot import it by name:
`check.check` decodes one example and judges it, `agreement.difference` compares the decoders on it.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from features.ingest.verdicts.facts import Facts
from features.spec import RawKind

#: Checks the content of one example: (data, file name ending, rules) to Facts, or raises RefusedError.
Reader = Callable[[bytes, str, Mapping[str, Any]], Facts]

#: Compares the decoders on one example: (the file's own bytes, those kept in their place, rules) to what
#: differs, or None where they agree.
Difference = Callable[[bytes, bytes, Mapping[str, Any]], str | None]


def reader(raw: RawKind) -> Reader:
    """Return the function that checks one example of a raw kind."""
    check: Reader = importlib.import_module(f"features.{raw.folder}.check").check
    return check


def difference(raw: RawKind) -> Difference:
    """Return the function that compares ingest's decoder with the featurizer's on one example."""
    compare: Difference = importlib.import_module(f"features.{raw.folder}.agreement").difference
    return compare

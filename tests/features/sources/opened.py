"""Sources as the tests of them open and read them."""

from pathlib import Path

import pytest

from features.errors import DataError
from features.sources.files.candidates import Candidate, Columns, Skipped, Source
from features.sources.recognise import recognise
from features.spec import IMAGE, RawKind
from tests.faults.corpus import encode, picture

JPEG = encode(picture(0, 8, 8), "JPEG")


def open_source(path: Path, raw: RawKind = IMAGE, scratch: Path | None = None, **columns: str) -> Source:
    return recognise(path, raw, Columns(**columns), scratch or path.parent / "scratch")


def candidates(source: Source) -> list[tuple[str, str, str | None]]:
    return sorted((entry.name, entry.label, entry.split) for entry in source if isinstance(entry, Candidate))


def skipped(source: Source) -> list[tuple[str, str]]:
    return sorted((entry.name, entry.reason) for entry in source if isinstance(entry, Skipped))


def refusal(path: Path, **columns: str) -> str:
    with pytest.raises(DataError) as caught:
        list(open_source(path, **columns))
    return str(caught.value)

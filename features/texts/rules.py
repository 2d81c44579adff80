"""What ingest accepts of texts."""

from typing import Literal

from pydantic import Field

from features.ingest.rules import IngestRules


class TextRules(IngestRules):
    """What ingest accepts of texts."""

    max_characters: int = Field(100_000, ge=1, description="longer texts are quarantined")
    bad_text: Literal["reject", "replace"] = Field(
        "reject", description="how to handle bytes that are not UTF-8, and NUL, in .txt files"
    )

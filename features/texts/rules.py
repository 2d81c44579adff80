"""What ingest accepts of texts."""

from typing import Literal

from pydantic import Field

from features.ingest.rules import ExampleRules, IngestRules
from features.sources.files.candidates import Labelling


class TextRules(IngestRules):
    """What ingest accepts of texts."""

    max_characters: int = Field(100_000, ge=1, description="longer texts are quarantined")
    bad_text: Literal["reject", "replace"] = Field(
        "reject", description="how to handle bytes that are not UTF-8, and NUL, in .txt files"
    )


class PairRules(ExampleRules):
    """What ingest accepts of texts with a sentence in another language."""

    max_characters: int = Field(1000, ge=1, description="longer texts and targets are quarantined")
    bad_text: Literal["reject", "replace"] = Field(
        "reject", description="how to handle bytes that are not UTF-8, and NUL, in .txt files"
    )
    max_ratio: float | None = Field(
        9.0,
        gt=1,
        description="pairs are quarantined whose longer text has more than this many times the characters "
        "of the shorter one, both counted as at least 10; null for no limit",
    )
    # A sentence has several good translations.
    conflicts: Literal["quarantine", "keep"] = Field(
        "keep", description="quarantine or keep identical texts with different targets"
    )
    # A word may well be called None, or NA.
    missing_labels: tuple[str, ...] = Field(
        (), description="words in the target column that mean a missing value"
    )

    @property
    def labelling(self) -> Labelling:
        """Where targets come from."""
        return "table"

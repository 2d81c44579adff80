"""What ingest accepts of images that need no labels."""

from typing import Literal

from pydantic import Field

from features.ingest.rules import IngestRules
from features.sources.files.candidates import Labelling


class GalleryRules(IngestRules):
    """What ingest accepts of examples that need no labels."""

    labels: Literal["auto", "none"] = Field(
        "auto",
        description="auto: folders are classes if two or more hold all examples; none: they never are",
    )
    conflicts: Literal["quarantine", "keep"] = Field(
        "keep", description="what becomes of the same content under several labels"
    )

    @property
    def labelling(self) -> Labelling:
        """Where labels come from."""
        return self.labels

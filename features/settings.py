"""What the typed sections of every recipe have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

#: A setting that the training split decides.
Auto = Literal["auto"]


@dataclass(frozen=True)
class Survey:
    """What a training split is like, by which the settings that say ``auto`` are decided.

    Attributes:
        examples: number of them.
        rules: by which the data were read.
        measures: of the examples, by name, as ingest took them; of sounds: ``seconds``, and ``rate`` in Hz
            as stored.
    """

    examples: int
    rules: Any = None
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)

    def quantile(self, name: str, share: float) -> float:
        """Return the value of a measure that a share of the examples do not exceed."""
        return float(np.quantile(self.measures[name], share))


class Settings(BaseModel):
    """A section of a recipe: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def adapted(self, survey: Survey) -> Self:
        """Decide from the training split what these settings leave to it."""
        return self

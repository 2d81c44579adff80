"""What the typed sections of every recipe have in common."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A section of a recipe: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

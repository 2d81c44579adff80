"""What ingest accepts of rows, and the kinds of their columns."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, field_validator

from features.errors import ConfigError
from features.ingest.rules import ExampleRules, IngestRules, NumberRules
from features.rows import column_kinds, column_survey
from features.sources.files.candidates import Candidate, Columns, Source
from features.sources.tables import cells, number_format


class RowColumns(ExampleRules):
    """What ingest accepts of rows, and which of a table's columns hold numbers."""

    # The same measurements with two targets are no mistake in the data, as the same photo is.
    conflicts: Literal["quarantine", "keep"] = Field(
        "keep", description="quarantine or keep identical examples with different targets"
    )
    columns: dict[str, Literal["numeric", "categorical", "ignored"]] = Field(
        default_factory=dict,
        description="column: `numeric`, `categorical` or `ignored`; others are inferred",
    )
    numbers: dict[str, str] = Field(
        default_factory=dict,
        description="column: how 1234.5 is written there; others are inferred",
    )
    missing: tuple[str, ...] = Field((), description="further cells that mean a missing value")
    usual_missing: bool = Field(
        True, description="whether common words such as NA and NULL mean a missing value"
    )

    @field_validator("numbers")
    @classmethod
    def _know_the_formats(cls, numbers: dict[str, str]) -> dict[str, str]:
        return {name: str(number_format.parse(written)) for name, written in numbers.items()}

    @property
    def missing_words(self) -> tuple[str, ...]:
        """Words that stand for a missing value."""
        return (*self.missing, *(cells.MISSING_WORDS if self.usual_missing else ()))

    def verdict_rules(self) -> dict[str, Any]:
        """Return the settings that the verdict on a row depends on."""
        return super().verdict_rules() | {"missing": list(self.missing_words)}

    def reading(self, columns: Columns) -> Columns:
        """Leave out the columns that are ignored."""
        ignored = tuple(name for name, kind in self.columns.items() if kind == "ignored")
        return replace(super().reading(columns), ignored=ignored)

    def settled(self, source: Source) -> Self:
        """Choose the kind of every column, in order; what is odd in a numeric one is left to quarantine.

        Raises:
            ConfigError: a kind or a format is given for a column that is not there.
            DataError: no column can be used, or one holds numbers and too much else.
        """
        declared = {name: kind for name, kind in self.columns.items() if kind != "ignored"}
        if unknown := sorted((set(declared) | set(self.numbers)) - set(source.columns)):
            raise ConfigError(
                f"data.columns or data.numbers names an unknown input of {source.description}",
                got=", ".join(map(repr, unknown)),
                expected=f"some of {', '.join(map(repr, source.columns))}",
            )
        lines = (entry.content.decode() for entry in source if isinstance(entry, Candidate) and entry.content)
        wish = column_kinds.Wish(
            declared,
            {name: number_format.parse(written) for name, written in self.numbers.items()},
            self.max_bad_fraction,
            source,
        )
        surveys = column_survey.survey(lines, source.columns, self.missing_words)
        chosen = column_kinds.choose(surveys, wish)
        column_kinds.record(chosen, source.decisions)
        column_kinds.require_usable(chosen, source.description)
        formats = {name: str(one.format) for name, one in chosen.items() if one.format != number_format.PLAIN}
        kinds = {name: one.kind for name, one in chosen.items() if one.kind is not None}
        return self.model_copy(update={"columns": kinds, "numbers": formats})

    def narrowed(self, source: Source) -> Source:
        """Return the source without the ignored columns."""
        return source.without(name for name in source.columns if name not in self.columns)

    def as_settled(self, card: Mapping[str, Any]) -> Self:
        """Return these rules with the type and number format of every column."""
        settled = card["rules"]
        return self.model_copy(
            update={"columns": dict(settled["columns"]), "numbers": dict(settled.get("numbers", {}))}
        )


class RowRules(RowColumns, IngestRules):
    """What ingest accepts of rows that belong to classes."""


class RowNumberRules(RowColumns, NumberRules):
    """What ingest accepts of rows whose targets are numbers."""

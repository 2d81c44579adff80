"""What ingest accepts, and how it splits: the recipe's ``data`` section."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from features.sources.archive_names import AUTO
from features.sources.archives import ArchiveRules
from features.sources.candidates import MISSING_LABELS, Columns, Labelling, Source, TableOptions

#: Rules that say nothing about one example's content, so that changing them re-decodes nothing.
_NOT_DECODING = frozenset(
    {
        "max_bad_fraction",
        "validation_fraction",
        "test_fraction",
        "seed",
        "merge",
        "drop",
        "conflicts",
        "labels",
        "follow_symlinks",
    }
    | {"encoding", "delimiter", "quoting", "header", "input_suffix", "input_folder", "missing_labels"}
    | {"decode_processes", "decode_timeout", "max_archive_bytes", "max_archive_members", "max_archive_ratio"}
    | {"archive_names"}
)


class SourceRules(BaseModel):
    """What every source is held to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bad_fraction: float = Field(
        0.05,
        ge=0,
        le=1,
        description="quarantined, or skipped though like an example, over examined; above it the run stops",
    )
    follow_symlinks: bool = Field(
        False, description="whether symbolic links stand for what they lead to; in an archive they never do"
    )
    encoding: str = Field(
        "auto",
        description="of text tables, as cp1252; auto takes UTF-8, or what a byte order mark says",
    )
    delimiter: str = Field(
        "auto", description="between the fields of a text table: one character, or tab; auto tells it"
    )
    quoting: Literal["auto", "minimal", "escaped", "none"] = Field(
        "auto", description="of fields in text tables; auto takes none for TSV and minimal for CSV"
    )
    header: bool = Field(True, description="whether the first line of a text table names its columns")
    max_archive_bytes: int = Field(100 << 30, ge=1, description="of an archive, unpacked")
    max_archive_members: int = Field(200_000, ge=1, description="files and folders in an archive")
    max_archive_ratio: int = Field(100, ge=1, description="unpacked bytes for each byte of an archive")
    archive_names: str = Field(
        AUTO,
        description="encoding of names for which an archive declares none; auto: UTF-8, else cp437",
    )

    def archive_rules(self) -> ArchiveRules:
        """Give what an archive may hold, and how its names are read."""
        return ArchiveRules(
            self.max_archive_members, self.max_archive_bytes, self.max_archive_ratio, self.archive_names
        )

    @field_validator("encoding", "archive_names")
    @classmethod
    def _know_the_encoding(cls, encoding: str) -> str:
        try:
            "a".encode(encoding) if encoding != "auto" else None
        except (LookupError, UnicodeError):
            raise ValueError("auto, or an encoding that Python knows, as cp1252 or utf-16") from None
        return encoding

    @field_validator("delimiter")
    @classmethod
    def _take_one_character(cls, delimiter: str) -> str:
        delimiter = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
        if delimiter != "auto" and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
            raise ValueError("auto, tab, or one character, as ;")
        return delimiter

    def table_options(self) -> TableOptions:
        """Give how a table is read."""
        return TableOptions(self.encoding, self.delimiter, self.quoting, self.header)

    def reading(self, columns: Columns) -> Columns:
        """Give the columns of a table, with what these rules say of them."""
        return replace(columns, table=self.table_options())

    def settled(self, source: Source) -> Self:
        """Decide from the source what these rules leave open."""
        return self

    def narrowed(self, source: Source) -> Source:
        """Give the source without the columns that these rules, settled, leave out."""
        return source

    def as_settled(self, card: Mapping[str, Any]) -> Self:
        """Give these rules as they were settled when a dataset was made, from its card."""
        return self


class ExampleRules(SourceRules):
    """Limits and splits of one ingest of examples; sizes in bytes, fractions between 0 and 1."""

    max_pixels: int = Field(50_000_000, ge=1, le=500_000_000, description="of one image")
    max_file_bytes: int = Field(64 << 20, ge=1, le=1 << 30, description="of one file")
    animated: Literal["first-frame", "reject"] = Field(
        "first-frame", description="what becomes of an image with several frames"
    )
    validation_fraction: float = Field(
        0.1, ge=0, lt=1, description="of the examples, where the data give no split"
    )
    test_fraction: float = Field(0.2, gt=0, lt=1, description="of the examples, where the data give no split")
    seed: int = Field(0, ge=0, description="of the split; another seed gives another split")
    conflicts: Literal["quarantine", "keep"] = Field(
        "quarantine", description="what becomes of the same content with several targets"
    )
    block_column: str | None = Field(
        None,
        description="column of a table that names blocks, as scenes or patients, which stay in one split",
    )
    input_suffix: str | None = Field(
        None, description="ending of the files that a table names without one, as .jpg"
    )
    input_folder: str | None = Field(
        None, description="folder of the files that a table names, below the table's own"
    )
    missing_labels: tuple[str, ...] = Field(
        MISSING_LABELS, description="words in a table's target column that stand for a missing target"
    )
    decode_timeout: float = Field(10.0, gt=0, description="seconds one example may take to decode")
    decode_processes: int = Field(2, ge=1, le=64, description="decoder processes at work together")

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                "validation_fraction and test_fraction leave nothing to train on: their sum must be below 1"
            )
        return self

    @field_validator("input_suffix")
    @classmethod
    def _begin_with_a_dot(cls, suffix: str | None) -> str | None:
        return suffix if not suffix or suffix.startswith(".") else f".{suffix}"

    def reading(self, columns: Columns) -> Columns:
        """Give the columns of a table, with what these rules say of them."""
        return replace(super().reading(columns), block=self.block_column)

    def table_options(self) -> TableOptions:
        """Give how a table is read, and the files it names are found."""
        return replace(
            super().table_options(),
            suffix=self.input_suffix or "",
            folder=self.input_folder or "",
            missing_labels=self.missing_labels,
        )

    @property
    def labelling(self) -> Labelling:
        """Where targets come from."""
        return "required"

    def verdict_rules(self) -> dict[str, Any]:
        """Give the rules that a verdict on content depends on, as plain data."""
        return {key: value for key, value in self.model_dump(mode="json").items() if key not in _NOT_DECODING}

    def decoder_rules(self) -> dict[str, Any]:
        """Give what a decoder process gets: the verdict's rules, its time-out and its memory."""
        # Coefficients of a progressive JPEG, the picture, a converted copy and a codec's own canvas
        # take some 20 bytes a pixel; the file is held twice.
        memory = 20 * self.max_pixels + 4 * self.max_file_bytes + (256 << 20)
        return self.verdict_rules() | {"timeout": self.decode_timeout, "memory": memory}


class IngestRules(ExampleRules):
    """What ingest accepts of examples that belong to classes."""

    merge: dict[str, str] = Field(default_factory=dict, description="class to be renamed: its new name")
    drop: tuple[str, ...] = Field((), description="classes to leave out")

    @model_validator(mode="after")
    def _merge_into_classes_that_stay(self) -> Self:
        chained = sorted(set(self.merge.values()) & set(self.merge))
        if chained:
            raise ValueError(f"merge renames {', '.join(chained)} and merges into it at once")
        return self

    def class_of(self, label: str, spelled: str) -> str | None:
        """Give the class of a label, None where it is left out.

        Args:
            label: as found; merge and drop may name it so.
            spelled: as labels of its kind are spelled; they may name this as well.
        """
        if label in self.drop and label not in self.merge:
            return None
        named = self.merge.get(label, self.merge.get(spelled, spelled))
        return None if named in self.drop else named


class NumberRules(ExampleRules):
    """What ingest accepts of examples whose targets are numbers of a table."""

    @property
    def labelling(self) -> Labelling:
        """Where targets come from."""
        return "table"


class CorpusRules(SourceRules):
    """What ingest accepts of lines of text without labels."""

    max_line_bytes: int = Field(1 << 20, ge=1, description="longer lines are quarantined")
    bad_text: Literal["reject", "replace"] = Field(
        "reject", description="what becomes of bytes that are not UTF-8, and of NUL"
    )

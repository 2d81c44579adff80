"""What ingest accepts, and how it splits: the recipe's ``data`` section."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from features.sources.archive_names import AUTO
from features.sources.archives import ArchiveRules
from features.sources.files.candidates import MISSING_LABELS, Columns, Labelling, Source, TableOptions

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
    | {"pedal", "bad_notes"}
    | {"max_ratio"}
    | {"boxes", "outside", "sizes", "bad_boxes", "classes", "unannotated"}
    | {"case", "punctuation", "units", "frame_seconds"}
)


class SourceRules(BaseModel):
    """What every source is held to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bad_fraction: float = Field(
        0.05,
        ge=0,
        le=1,
        description="largest share of examples that may be quarantined or skipped before the run stops",
    )
    follow_symlinks: bool = Field(
        False, description="whether symbolic links are followed; those in an archive never are"
    )
    encoding: str = Field(
        "auto",
        description="encoding of text tables, such as cp1252; auto: UTF-8, or what the byte order mark says",
    )
    delimiter: str = Field(
        "auto", description="field delimiter of text tables: one character, or tab; auto detects it"
    )
    quoting: Literal["auto", "minimal", "escaped", "none"] = Field(
        "auto", description="quoting of fields in text tables; auto: none for TSV, minimal for CSV"
    )
    header: bool = Field(True, description="whether the first line of a text table is a header")
    max_archive_bytes: int = Field(100 << 30, ge=1, description="maximum unpacked size of an archive")
    max_archive_members: int = Field(
        200_000, ge=1, description="maximum number of files and folders in an archive"
    )
    max_archive_ratio: int = Field(100, ge=1, description="maximum ratio of unpacked to packed bytes")
    archive_names: str = Field(
        AUTO,
        description="encoding of file names in archives that declare none; auto: UTF-8, else cp437",
    )

    def archive_rules(self) -> ArchiveRules:
        """Return what an archive may hold, and how its names are read."""
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
        """Return how a table is read."""
        return TableOptions(self.encoding, self.delimiter, self.quoting, self.header)

    def reading(self, columns: Columns) -> Columns:
        """Return the columns of a table, with what these rules say of them."""
        return replace(columns, table=self.table_options())

    def settled(self, source: Source) -> Self:
        """Decide from the source what these rules leave open."""
        return self

    def narrowed(self, source: Source) -> Source:
        """Return the source without the columns that these rules, settled, leave out."""
        return source

    def as_settled(self, card: Mapping[str, Any]) -> Self:
        """Return these rules as they were settled when a dataset was made, from its card."""
        return self


class ExampleRules(SourceRules):
    """Limits and splits of one ingest of examples; sizes in bytes, fractions between 0 and 1."""

    max_pixels: int = Field(50_000_000, ge=1, le=500_000_000, description="of one image")
    max_file_bytes: int = Field(64 << 20, ge=1, le=1 << 30, description="of one file")
    animated: Literal["first-frame", "reject"] = Field(
        "first-frame", description="use the first frame of an animated image, or quarantine it"
    )
    validation_fraction: float = Field(
        0.1, ge=0, lt=1, description="of the examples, where the data give no split"
    )
    test_fraction: float = Field(0.2, gt=0, lt=1, description="of the examples, where the data give no split")
    seed: int = Field(0, ge=0, description="seed of the split")
    conflicts: Literal["quarantine", "keep"] = Field(
        "quarantine", description="quarantine or keep identical examples with different targets"
    )
    block_column: str | None = Field(
        None,
        description="table column that names blocks, such as scenes or patients, which stay in one split",
    )
    input_suffix: str | None = Field(
        None, description="extension to add to file names in a table that have none, such as .jpg"
    )
    input_folder: str | None = Field(
        None, description="folder of the files that a table names, relative to the table"
    )
    missing_labels: tuple[str, ...] = Field(
        MISSING_LABELS, description="words in the target column that mean a missing value"
    )
    decode_timeout: float = Field(10.0, gt=0, description="timeout for decoding one example, in seconds")
    decode_processes: int = Field(2, ge=1, le=64, description="number of decoder processes")

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
        """Return the columns of a table, with what these rules say of them."""
        return replace(super().reading(columns), block=self.block_column)

    def table_options(self) -> TableOptions:
        """Return how a table is read, and the files it names are found."""
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
        """Return the rules that a verdict on content depends on, as plain data."""
        return {key: value for key, value in self.model_dump(mode="json").items() if key not in _NOT_DECODING}

    def decoder_rules(self) -> dict[str, Any]:
        """Return what a decoder process gets: the verdict's rules, its time-out and its memory."""
        # Coefficients of a progressive JPEG, the picture, a converted copy and a codec's own canvas
        # take some 20 bytes a pixel; the file is held twice.
        memory = 20 * self.max_pixels + 4 * self.max_file_bytes + (256 << 20)
        return self.verdict_rules() | {"timeout": self.decode_timeout, "memory": memory}


class ClassRules(ExampleRules):
    """What ingest accepts of examples in which classes are named."""

    merge: dict[str, str] = Field(default_factory=dict, description="classes to rename: old name to new name")
    drop: tuple[str, ...] = Field((), description="classes to leave out")

    @model_validator(mode="after")
    def _merge_into_classes_that_stay(self) -> Self:
        chained = sorted(set(self.merge.values()) & set(self.merge))
        if chained:
            raise ValueError(f"merge renames {', '.join(chained)} and merges other classes into it")
        return self

    def class_of(self, label: str, spelled: str) -> str | None:
        """Return the class of a label, None where it is left out.

        Args:
            label: as found; merge and drop may name it so.
            spelled: as labels of its kind are spelled; they may name this as well.
        """
        if label in self.drop and label not in self.merge:
            return None
        named = self.merge.get(label, self.merge.get(spelled, spelled))
        return None if named in self.drop else named


class IngestRules(ClassRules):
    """What ingest accepts of examples that belong to classes."""


class NumberRules(ExampleRules):
    """What ingest accepts of examples whose targets are numbers of a table."""

    @property
    def labelling(self) -> Labelling:
        """Where targets come from."""
        return "table"


class PointRules(NumberRules):
    """What ingest accepts of images whose targets are points."""

    points: Literal["displayed", "stored"] = Field(
        "displayed",
        description="displayed: coordinates are those of the image as shown, turned by EXIF; stored: those "
        "of its pixels in the file",
    )
    margin: float = Field(
        0.1, ge=0, description="how far outside the image a point may lie, in widths and heights"
    )
    distance: tuple[str, str] | None = Field(
        None,
        description="two points whose distance errors are divided by; null: the eyes where two points are "
        "named so, else the diagonal of the image",
    )


class BoxRules(ClassRules):
    """What ingest accepts of images with boxes around objects."""

    # Nobody draws the same box twice.
    conflicts: Literal["quarantine", "keep"] = Field(
        "keep", description="quarantine or keep identical images with different boxes"
    )
    boxes: Literal["displayed", "stored"] = Field(
        "displayed",
        description="whether coordinates count in the image as displayed, or as stored, before EXIF turns it",
    )
    outside: Literal["clip", "refuse"] = Field(
        "clip", description="clip boxes that lie partly outside the image, or quarantine them"
    )
    sizes: Literal["check", "ignore"] = Field(
        "check", description="quarantine images whose annotation declares another size, or ignore the size"
    )
    bad_boxes: Literal["leave_out", "refuse_image"] = Field(
        "leave_out", description="quarantine boxes that cannot be used alone, or the whole image with them"
    )
    classes: tuple[str, ...] = Field((), description="classes that boxes may have; empty: any")
    unannotated: Literal["skip", "empty"] = Field(
        "skip", description="skip images without an annotation file, or take them as without objects"
    )

    def reading(self, columns: Columns) -> Columns:
        """Return the columns of a table, with what these rules say of them."""
        return replace(super().reading(columns), unannotated=self.unannotated)

    @property
    def labelling(self) -> Labelling:
        """Where targets come from."""
        return "table"


class CorpusRules(SourceRules):
    """What ingest accepts of lines of text without labels."""

    max_line_bytes: int = Field(
        1 << 20, ge=1, description="maximum length of a line; longer ones are quarantined"
    )
    bad_text: Literal["reject", "replace"] = Field(
        "reject", description="reject lines with bytes that are not UTF-8 or with NUL, or replace those bytes"
    )

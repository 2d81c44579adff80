"""The quarantine: why an example was refused, and the list that says so.

Nothing is dropped in silence. Every example found is accepted, quarantined with one of REASONS, or
skipped with one of SKIPS; all three tables are fixed, and docs/ingest.md repeats them.
"""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from features.names import escape, printable

#: Why an example stands in the quarantine. The keys are stable: scripts may rely on them.
REASONS = {
    # the file
    "empty": "the file is empty",
    "missing": "the table, or a symbolic link, names a file that does not exist",
    "unreadable": "the file or folder cannot be read: permission or I/O error",
    "vanished": "the file was listed but had disappeared when it was read",
    "changed": "the file changed while it was read",
    "hash_mismatch": "the content is no longer what the manifest recorded",
    # the content
    "too_large": "more bytes, pixels or memory than allowed; detected before decoding if declared",
    "not_an_image": "the content is not an image; the detail says what it looks like",
    "unsupported_format": "an image or sound in a format that cannot be decoded; the detail names it",
    "unsupported_variant": "a format that the served model decodes, in a variant that it does not",
    "truncated": "the data end before the example is complete",
    "corrupt": "the data are damaged: a decoder or checksum fails",
    "animated": "more than one frame, and the rules require one",
    "not_audio": "the content is not a sound; the detail says what it looks like",
    "unsupported_codec": "a sound in a supported format with an unsupported codec; the detail names it",
    "bad_header": "the header declares a sample rate or a number of channels that no sound has",
    "empty_audio": "the file contains no samples",
    "too_short": "the sound is shorter than the rules allow",
    "too_long": "the sound or text is longer than the rules allow",
    "empty_text": "the text is empty or only whitespace",
    "non_finite": "a sample is NaN or infinite",
    "out_of_range": "samples far beyond full scale, and the rules do not normalise them",
    # the decoder
    "crashed_decoder": "decoding killed the decoder process twice",
    "decoders_disagree": "the served graph decodes the content differently from ingest, or rejects it",
    "decode_timeout": "decoding took longer than the time limit, twice",
    "internal_error": "a bug in Servable; the run stops with exit code 70",
    # the table
    "outside_folder": "the table names an absolute path or one that leaves the table's folder",
    "not_a_file": "the table names a folder",
    "missing_value": "the row has no input or no target",
    "no_target_file": "no file of the same name that holds the target lies beside the example",
    "ragged_row": "the row has more or fewer fields than the header",
    "not_a_number": "the row has something other than a number in a numeric column or as its target",
    "bad_quoting": "the row's quotes do not follow the CSV rules",
    "bad_encoding": "the row or text is not UTF-8; the offset is that of the first bad byte of the file",
    "nul": "the row or text contains a NUL character",
    "line_too_long": "a field of the row is longer than 131,072 characters, or a line of a text than allowed",
    "unknown_split": "the split column has something other than train, validation or test",
    # the target
    "bad_annotation": "the annotation file is damaged, too large, or not of its format; a DOCTYPE is refused",
    "unknown_class": "the class of a box is not one of `data.classes`, or of the annotation's categories",
    "half_point": "one of a point's two coordinates is missing",
    "outside_image": "a point or box of the row lies outside its image by more than the rules allow",
    "empty_box": "a box has no area, or its corners are swapped",
    "wrong_size": "the size that the annotation declares is not the image's",
    "empty_note": "a note does not end after it begins",
    "outside_sound": "a note begins before its sound, or after the end of it",
    "outside_keys": "a note's pitch is not one of a piano's 88 keys, or its velocity is not 1 to 127",
    "several_objects": "the image has several annotated objects, and the task takes one",
    "empty_transcript": "the transcript has no letter and no digit",
    "too_long_for_sound": "more characters or words than the sound has frames; see `data.frame_seconds`",
    "unlike_length": "source and target differ in length by more than `data.max_ratio`",
    # the dataset
    "conflicting_labels": "the same content has two targets; all its copies are refused",
    "split_conflict": "the data put the same content in two splits; the copy in the later-used split stays, "
    "but an image whose own rows differ is refused",
}

#: Why an entry was skipped: a rule, not a fault.
SKIPS = {
    "unsupported_extension": "neither the extension nor the content is of the raw kind",
    "hidden": "the name begins with a dot",
    "system_file": "from an operating system or archiver: __MACOSX, Thumbs.db, desktop.ini and the like",
    "symlink": "a symbolic link; followed with `data.follow_symlinks`, but never in archives",
    "symlink_loop": "a symbolic link to a folder that contains the link",
    "linked_twice": "a symbolic link, or its target, that already occurred with the same label",
    "special_file": "a FIFO, socket or device; never opened",
    "too_deep": "a folder more than 32 levels below the source",
    "outside_class_folder": "a file beside the class folders, without a label",
    "dropped_class": "the class is excluded by the rule `drop`",
    "unannotated": "an image without an annotation; `data.unannotated=empty` takes it as without objects",
    "blank_row": "an empty line of a table",
    "blank_line": "a line of a text file, or a cell, with only whitespace",
}

#: What is worth knowing about an accepted example.
NOTES = {
    "extension_mismatch": "the format of the content differs from the extension; the content is used",
    "rewritten": "stored as a PNG with the same pixels: the served graph does not read the original form",
    "extraneous_bytes": "extra bytes between the segments of the JPEG; decoders ignore them",
    "first_frame": "several frames; the first one is used",
    "rotated": "the EXIF orientation is not upright; the featurizer turns the picture",
    "duplicate": "another accepted example has the same content",
    "near_copy": "another accepted example has the same pixels, samples or values, in different bytes",
    "streamed": "the header does not declare the length, as after writing to a pipe; everything is read",
    "silent": "every sample of the sound is zero",
    "clipped": "samples beyond full scale were clipped",
    "normalised": "samples far beyond full scale: the sound was scaled to full scale",
    "resampled": "the sound had another sample rate than the recipe's",
    "mixed_down": "several channels; their mean is used",
    "clipped_boxes": "a box lay partly outside the image and was clipped to it",
    "other_orientation": "the declared size is that of the photo as stored, and coordinates count as "
    "displayed, or the other way round; see `data.boxes`",
    "cut_notes": "a note was cut where its key is struck again",
    "clipped_notes": "a note was cut at the end of its sound",
    "byte_order_mark": "the text began with a byte order mark, which was removed",
    "replaced": "bytes that are not UTF-8 were replaced by U+FFFD, as the rules say",
    "control_characters": "the text contains control characters other than tabs and line ends",
}


class RefusedError(Exception):
    """One example cannot be accepted.

    Args:
        reason: a key of REASONS.
        detail: what exactly was found, for a human.
        offset: byte of the fault, if there is one.
        row: of the table, from 1, where a part of an example is refused.
    """

    def __init__(self, reason: str, detail: str, offset: int | None = None, row: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.offset, self.row = reason, detail, offset, row


def record(
    relative: bytes,
    *,
    stage: str,
    reason: str,
    detail: str,
    sha256: str | None = None,
    size: int | None = None,
    **place: int | None,
) -> dict[str, Any]:
    """Make one record of the quarantine list.

    Args:
        relative: path below the source, as the bytes the file system uses.
        stage: where it was refused, as ``ingest.image``.
        reason: a key of REASONS.
        detail: what exactly was found.
        sha256: of the content, where it could be read.
        size: in bytes, where it is known.
        place: ``row``, ``line`` (both from 1) or ``offset`` (bytes from 0) inside a table.
    """
    if reason not in REASONS:
        raise KeyError(f"{reason} is not a quarantine reason; expected one of {', '.join(sorted(REASONS))}")
    content = {
        "path": escape(relative),
        "path_b64": base64.b64encode(relative).decode("ascii"),
        "sha256": sha256,
        "bytes": size,
        "stage": stage,
        "reason": reason,
        "detail": printable(detail),
    }
    return content | {key: value for key, value in place.items() if value is not None}


def write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write the list, one JSON object a line, sorted by path and place."""
    ordered = sorted(records, key=lambda entry: (entry["path"], entry.get("row", 0), entry["reason"]))
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in ordered)
    path.write_text(lines, encoding="utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """Read a list that `write` wrote."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]

"""What a reader finds out about one accepted example."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Facts:
    """The verdict "accepted", with what the manifest keeps.

    Attributes:
        format: the content's format, as ``JPEG``; it may differ from the file name's ending.
        identity: hash that is equal for copies of one example in other wrappings (a picture without
            its metadata, a re-packed file). Examples of equal identity go to the same split.
        measures: the raw kind's own columns of the manifest, as width and height.
        notes: keys of quarantine.NOTES.
        stored: bytes that training and serving read in place of the file's own, where the raw kind is
            converted at ingest; None where the file itself is read.
        variant: what of the format decides how it is decoded, in a few words.
        odd: whether decoders may differ about a header like this one, so that they are compared.
    """

    format: str
    identity: str
    measures: Mapping[str, int | float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    stored: bytes | None = None
    variant: str = ""
    odd: bool = False

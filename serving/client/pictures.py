"""Image files of any kind to what an image signature takes."""

from features.errors import DataError
from features.images.files import exif, forms


def plain(data: bytes) -> bytes:
    """Return an image in a form that the served graph decodes: others become PNG, as at ingest.

    Raises:
        DataError: an image that has to be rewritten cannot be decoded.
    """
    if forms.is_plain(data) and not exif.mentions(data):
        return data
    # Loads Pillow.
    from features.images import check
    from features.quarantine import RefusedError

    try:
        return check.plain(data)
    except RefusedError as refusal:
        raise DataError(
            "an image cannot be decoded",
            got=f"{len(data):,} bytes that begin with {data[:12]!r}: {refusal.detail}",
            expected="a JPEG, PNG, GIF, BMP or WebP file",
            todo="convert the file",
        ) from None

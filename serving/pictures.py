"""Image files of any kind to what an image signature takes."""

from features.errors import DataError


def plain(data: bytes) -> bytes:
    """Return an image in a form that the served graph decodes: odd BMP files become PNG, as at ingest.

    Raises:
        DataError: such a BMP file cannot be decoded.
    """
    if not data.startswith(b"BM"):
        return data
    # Loads Pillow, which most clients never need.
    from features import image_file
    from features.quarantine import RefusedError

    try:
        return image_file.plain(data)
    except RefusedError as refusal:
        raise DataError(
            "an image cannot be decoded",
            got=f"{len(data):,} bytes that begin with {data[:12]!r}: {refusal.detail}",
            expected="a JPEG, PNG, GIF, BMP or WebP file",
            todo="convert the file",
        ) from None

"""Sound files of any kind to what an audio signature takes: WAV with 16-bit PCM, one channel."""

from features.errors import DataError
from features.quarantine import RefusedError
from features.sounds.files import decoding

#: Seconds of the longest sound that is sent; a model may take less, and says so.
_LONGEST = 3_600.0


def wave(data: bytes) -> bytes:
    """Turn a sound file into 16-bit PCM, one channel, at the rate it has.

    It is decoded as ingest does, so that a model is asked about a sound as it was trained on one; the served
    model resamples.

    Raises:
        DataError: ingest would refuse it.
    """
    try:
        sound = decoding.decode(data, _LONGEST)
        return decoding.wave_bytes(decoding.in_range(sound), sound.rate)
    except RefusedError as refusal:
        raise DataError(
            "a sound cannot be decoded",
            got=f"{len(data):,} bytes that begin with {data[:12]!r}: {refusal}",
            expected="a sound file that ingest accepts, such as WAV, FLAC, Ogg or MP3",
            todo="check the file",
        ) from None

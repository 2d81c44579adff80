"""Sound files of any kind to what an audio signature takes: WAV with 16-bit PCM, one channel."""

import io
import struct

import numpy as np

from features.errors import DataError


def wave(data: bytes) -> bytes:
    """Turn a WAV, FLAC, Ogg or MP3 file into 16-bit PCM, one channel, at the rate it has.

    A WAV file of 16-bit PCM is left as it is: the served model mixes its channels and resamples.

    Raises:
        DataError: it cannot be decoded.
    """
    if _is_plain(data):
        return data
    import soundfile

    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(
            "a sound cannot be decoded",
            got=f"{len(data):,} bytes that begin with {data[:12]!r}: {str(error).rpartition(': ')[2]}",
            expected="a WAV, FLAC, Ogg or MP3 file",
            todo="check the file",
        ) from None
    stream = io.BytesIO()
    mono = samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
    pcm = np.clip(np.rint(mono * 32768.0), -32768, 32767).astype(np.int16)
    soundfile.write(stream, pcm, rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def _is_plain(data: bytes) -> bool:
    """Tell whether this is a RIFF WAV file whose format block says PCM with 16 bits."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return False
    place = data.find(b"fmt ", 12, 4096)
    if place < 0 or place + 24 > len(data):
        return False
    kind, *_, bits = struct.unpack_from("<HHIIHH", data, place + 8)
    return (kind, bits) == (1, 16)

"""Sound files of any kind to what an audio signature takes: WAV with 16-bit PCM, one channel."""

from typing import Any

import numpy as np

from features import sound_decoding
from features.errors import DataError
from features.quarantine import RefusedError
from features.spec import AUDIO

#: Seconds of the longest sound that is sent; a model may take less, and says so.
_LONGEST = 3_600.0


def ready(name: str, value: Any) -> Any:
    """Convert what is sent as input ``audio_bytes``; give any other input back as it is.

    Raises:
        DataError: the bytes are no sound that can be decoded.
    """
    if name != AUDIO.input:
        return value
    if isinstance(value, bytes):
        return wave(value)
    sounds = np.asarray(value, dtype=object)
    converted = [wave(one) if isinstance(one, bytes) else one for one in sounds.ravel()]
    result = np.empty(len(converted), dtype=object)
    result[:] = converted
    return result.reshape(sounds.shape)


def wave(data: bytes) -> bytes:
    """Turn a sound file into 16-bit PCM, one channel, at the rate it has.

    It is decoded as ingest does, so that a model is asked about a sound as it was trained on one; the served
    model resamples.

    Raises:
        DataError: ingest would refuse it.
    """
    try:
        sound = sound_decoding.decode(data, _LONGEST)
        return sound_decoding.wave_bytes(sound_decoding.in_range(sound), sound.rate)
    except RefusedError as refusal:
        raise DataError(
            "a sound cannot be decoded",
            got=f"{len(data):,} bytes that begin with {data[:12]!r}: {refusal}",
            expected="a sound file that ingest accepts, such as WAV, FLAC, Ogg or MP3",
            todo="check the file",
        ) from None

"""Check one sound file: decode it fully, and convert it to 16-bit mono at one rate."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from features.formats.sounds import ENDINGS
from features.ingest.verdicts.facts import Facts
from features.quarantine import RefusedError
from features.sounds.files.decoding import LOUDEST, Sound, decode, in_range, wave_bytes


def check(data: bytes, suffix: str, rules: Mapping[str, Any]) -> Facts:
    """Decode a sound fully, under limits told from its header, and convert it.

    Args:
        data: the file's content, not empty.
        suffix: the file name's ending, lower case with dot, or empty.
        rules: ``sample_rate`` (Hz), ``min_audio_seconds``, ``max_audio_seconds`` and ``out_of_range``
            ("reject" or "normalise").

    Returns:
        Facts with the measures ``rate`` (Hz) and ``channels``, as stored, and ``seconds``; what is
        stored is a WAV file, 16-bit PCM, one channel, at the requested rate.

    Raises:
        RefusedError: with the reason the content cannot be used.
    """
    sound = decode(data, rules["max_audio_seconds"])
    seconds = len(sound.samples) / sound.rate
    if seconds < rules["min_audio_seconds"]:
        least = rules["min_audio_seconds"]
        raise RefusedError("too_short", f"{len(sound.samples)} samples, {seconds:.4f} s; at least {least} s")
    samples = in_range(sound, rules["out_of_range"])
    stored = wave_bytes(resample(samples, sound.rate, rules["sample_rate"]), rules["sample_rate"])
    measures = {"rate": sound.rate, "channels": sound.channels, "seconds": round(seconds, 4)}
    identity = hashlib.sha256(stored).hexdigest()
    return Facts(sound.format, identity, measures, _notes(sound, suffix, rules), stored)


def _notes(sound: Sound, suffix: str, rules: Mapping[str, Any]) -> tuple[str, ...]:
    applies = {
        "extension_mismatch": bool(suffix) and suffix not in ENDINGS[sound.format],
        "streamed": sound.streamed,
        "silent": not sound.samples.any(),
        "clipped": 1 < sound.peak <= LOUDEST,
        "normalised": sound.peak > LOUDEST,
        "resampled": sound.rate != rules["sample_rate"],
        "mixed_down": sound.channels > 1,
    }
    return tuple(note for note, holds in applies.items() if holds)


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Resample as ``librosa.resample`` does by default: soxr, high quality, length rounded up.

    Args:
        samples: float32 [time].
        rate: Hz now.
        target: Hz of the result.
    """
    if rate == target:
        return samples
    import soxr

    length = -(-len(samples) * target // rate)
    resampled = soxr.resample(samples, rate, target, quality="HQ")[:length]
    return np.pad(resampled, (0, length - len(resampled)))

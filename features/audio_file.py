"""Check one sound file: limits from the header first, then a full decode to 16-bit mono at one rate."""

import hashlib
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.content_type import sniff
from features.facts import Facts
from features.quarantine import RefusedError

#: Hz and channels that a sound can have; converters and sound cards go no further.
RATES, CHANNELS = (1_000, 400_000), 64
#: Peaks up to here come from lossy codecs and loud mixes, and are clipped; beyond, the scale is unknown.
_LOUDEST = 2.0
_BLOCK = 1 << 16
_FORMATS = {"WAV audio": "WAV", "FLAC audio": "FLAC", "Ogg audio": "OGG", "MP3 audio": "MP3"}
_ENDINGS = {
    ".wav": "WAV",
    ".wave": "WAV",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".oga": "OGG",
    ".opus": "OGG",
    ".mp3": "MP3",
}


@dataclass(frozen=True)
class Sound:
    """Decoded samples, mono float32, with what the file said of itself."""

    samples: np.ndarray
    rate: int
    channels: int
    peak: float
    format: str


def check(data: bytes, suffix: str, rules: Mapping[str, Any]) -> Facts:
    """Decode a sound fully, under limits told from its header, and convert it.

    Args:
        data: the file's content, not empty.
        suffix: the file name's ending, lower case with dot, or empty.
        rules: ``sample_rate`` (Hz), ``min_audio_seconds``, ``max_audio_seconds`` and ``out_of_range``
            ("reject" or "normalise").

    Returns:
        Facts with the measures ``rate`` (Hz) and ``channels``, as stored, and ``seconds``; what is
        stored is a WAV file, 16-bit PCM, one channel, at the wanted rate.

    Raises:
        RefusedError: with the reason the content cannot be used.
    """
    sound = decode(data, rules["max_audio_seconds"])
    seconds = len(sound.samples) / sound.rate
    if seconds < rules["min_audio_seconds"]:
        least = rules["min_audio_seconds"]
        raise RefusedError("too_short", f"{len(sound.samples)} samples, {seconds:.4f} s; at least {least} s")
    samples = _in_range(sound, rules["out_of_range"])
    stored = wave_bytes(resample(samples, sound.rate, rules["sample_rate"]), rules["sample_rate"])
    measures = {"rate": sound.rate, "channels": sound.channels, "seconds": round(seconds, 4)}
    identity = hashlib.sha256(stored).hexdigest()
    return Facts(sound.format, identity, measures, _notes(sound, suffix, rules), stored)


def _notes(sound: Sound, suffix: str, rules: Mapping[str, Any]) -> tuple[str, ...]:
    found = {
        "extension_mismatch": bool(suffix) and _ENDINGS.get(suffix) != sound.format,
        "silent": sound.peak == 0,
        "clipped": 1 < sound.peak <= _LOUDEST,
        "normalised": sound.peak > _LOUDEST,
        "resampled": sound.rate != rules["sample_rate"],
        "mixed_down": sound.channels > 1,
    }
    return tuple(note for note, holds in found.items() if holds)


def _in_range(sound: Sound, out_of_range: str) -> np.ndarray:
    """Bring samples to [-1, 1]."""
    if sound.peak > _LOUDEST:
        if out_of_range == "reject":
            todo = "data.out_of_range=normalise scales such sounds"
            raise RefusedError("out_of_range", f"peak {sound.peak:.4g} of full scale 1; {todo}")
        return sound.samples / np.float32(np.abs(sound.samples).max())
    return np.clip(sound.samples, -1.0, 1.0)


def decode(data: bytes, max_seconds: float) -> Sound:
    """Decode a sound to the mean of its channels.

    Args:
        data: WAV, FLAC, Ogg (Vorbis, Opus) or MP3.
        max_seconds: longest sound that is decoded.

    Raises:
        RefusedError: ``not_audio``, ``bad_header``, ``truncated``, ``too_long``, ``empty_audio``,
            ``non_finite``, ``corrupt``.
    """
    import soundfile

    kind = sniff(data)
    if kind not in _FORMATS:
        raise RefusedError("not_audio", f"the content is {kind}; WAV, FLAC, Ogg and MP3 can be decoded")
    if kind == "WAV audio":
        _check_wave(data)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_header(file, max_seconds)
            return _read(file, data, _FORMATS[kind])
    except (soundfile.LibsndfileError, RuntimeError) as error:
        text = str(error).rpartition(": ")[2]
        raise RefusedError("corrupt", f"{_FORMATS[kind]}: {text}") from None


def _check_header(file: Any, max_seconds: float) -> None:
    _plausible(file.samplerate, file.channels)
    if file.frames > max_seconds * file.samplerate:
        seconds = file.frames / file.samplerate
        raise RefusedError("too_long", f"{seconds:,.1f} s declared; at most {max_seconds:,.0f} s are decoded")


def _plausible(rate: int, channels: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise RefusedError("bad_header", f"{rate:,} samples a second; {RATES[0]:,} to {RATES[1]:,} are taken")
    if not 1 <= channels <= CHANNELS:
        raise RefusedError("bad_header", f"{channels} channels; 1 to {CHANNELS} are taken")


def _check_wave(data: bytes) -> None:
    """Compare what a WAV header declares with what is there: libsndfile mends it in silence."""
    position, end = 12, len(data)
    while position + 8 <= end:
        name, size = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        body = position + 8
        if name == b"fmt " and body + 16 <= end:
            _, channels, rate = struct.unpack_from("<HHI", data, body)
            _plausible(rate, channels)
        if name == b"data":
            if data[:4] == b"RIFF" and size > end - body:
                raise RefusedError("truncated", f"{size:,} bytes of samples declared, {end - body:,} there")
            if size == 0:
                raise RefusedError("empty_audio", "0 bytes of samples")
            return
        position = body + size + size % 2
    if position > end:
        raise RefusedError("truncated", "the file ends inside its header")
    raise RefusedError("empty_audio", "no block of samples")


def _read(file: Any, data: bytes, kind: str) -> Sound:
    parts, peak = [], 0.0
    for block in file.blocks(_BLOCK, dtype="float32", always_2d=True):
        if not np.isfinite(block).all():
            raise RefusedError(
                "non_finite", f"{int((~np.isfinite(block)).sum())} samples are NaN or infinite"
            )
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        parts.append(block[:, 0] if file.channels == 1 else block.mean(axis=1, dtype=np.float32))
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if len(samples) < file.frames:
        raise RefusedError("truncated", f"{file.frames:,} samples declared, {len(samples):,} read")
    if kind == "OGG" and not _ogg_ends(data):
        raise RefusedError("truncated", "the Ogg stream has no last page")
    if not len(samples):
        raise RefusedError("empty_audio", "0 samples")
    return Sound(samples, file.samplerate, file.channels, peak, kind)


def _ogg_ends(data: bytes) -> bool:
    """Tell whether the last page closes its stream (flag 4 of RFC 3533) and is all there."""
    page = data.rfind(b"OggS")
    if page + 27 > len(data):
        return False
    flags, segments = data[page + 5], data[page + 26]
    table = data[page + 27 : page + 27 + segments]
    return bool(flags & 4) and page + 27 + segments + sum(table) <= len(data)


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Resample as ``librosa.resample`` does by default: soxr, high quality, length rounded up.

    Args:
        samples: float32 [time].
        rate: Hz now.
        wanted: Hz of the result.
    """
    if rate == wanted:
        return samples
    import soxr

    length = -(-len(samples) * wanted // rate)
    resampled = soxr.resample(samples, rate, wanted, quality="HQ")[:length]
    return np.pad(resampled, (0, length - len(resampled)))


def wave_bytes(samples: np.ndarray, rate: int) -> bytes:
    """Write samples as a WAV file of 16-bit PCM, one channel; beyond [-1, 1] they are clipped.

    Samples that came from 16 bits come out as they were.
    """
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(pcm)) + pcm
    return struct.pack("<4sI", b"RIFF", len(body)) + body

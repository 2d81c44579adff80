"""Decode a sound file, whatever its format: the same for ingest and for the client of a served model."""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.formats import mpeg
from features.formats.content_type import sniff
from features.formats.sounds import CONVERTIBLE, DECODED
from features.quarantine import RefusedError
from features.sounds.files import chunks as sound_chunks
from features.sounds.files import codecs

if TYPE_CHECKING:
    from features.sounds.files.libsndfile import Reader

#: Hz and channels that a sound can have; converters and sound cards go no further.
RATES, CHANNELS = (1_000, 400_000), 64
#: Peaks up to here come from lossy codecs and loud mixes, and are clipped; beyond, the scale is unknown.
LOUDEST = 2.0
#: Samples of each channel that are decoded at once.
_BLOCK = 1 << 16
_CONVERT = "convert it: ffmpeg -i FILE -c:a pcm_s16le FILE.wav"


@dataclass(frozen=True)
class Sound:
    """Decoded samples, mono float32, with what the file said of itself.

    Attributes:
        samples: float32 [time], the mean of the channels, not clipped.
        rate: Hz.
        channels: as stored.
        peak: largest magnitude in any channel.
        format: a key of sound_formats.ENDINGS.
        streamed: whether the header did not say how long the sound is.
    """

    samples: np.ndarray
    rate: int
    channels: int
    peak: float
    format: str
    streamed: bool = False


@dataclass(frozen=True)
class _Content:
    """What libsndfile is given.

    Attributes:
        data: bytes of the file, put right.
        length: bytes to claim; None for as many as there are.
        counted: whether the number of samples that libsndfile expects is one that the file declares.
        slack: samples that may be missing of them.
        streamed: as of Sound.
        cut: what shows that the content is not complete; None if nothing does.
        codec: name of the codec where it is worth naming, and whether libsndfile decodes it.
    """

    data: bytes
    length: int | None = None
    counted: bool = True
    slack: int = 0
    streamed: bool = False
    cut: str | None = None
    codec: tuple[str, bool] = ("", True)


def decode(data: bytes, max_seconds: float) -> Sound:
    """Decode a sound to the mean of its channels.

    Args:
        data: the content of a file, of one of the formats of sound_formats.ENDINGS.
        max_seconds: longest sound that is decoded.

    Raises:
        RefusedError: ``not_audio``, ``unsupported_format``, ``unsupported_codec``, ``unsupported_variant``,
            ``bad_header``, ``truncated``, ``too_long``, ``empty_audio``, ``non_finite``, ``corrupt``.
    """
    kind = sniff(data)
    if kind not in DECODED:
        raise _foreign(kind)
    form, start = DECODED[kind], mpeg.after_tags(data)
    try:
        content = _PREPARED.get(form, _Content)(data[start:] if start < len(data) else data)
    except RefusedError as refusal:
        raise RefusedError(refusal.reason, f"{form}: {refusal.detail}") from None
    return _decoded(content, form, max_seconds)


def _foreign(kind: str) -> RefusedError:
    if kind in CONVERTIBLE:
        return RefusedError("unsupported_format", f"{kind} cannot be decoded here; {_CONVERT}")
    if kind == "MIDI":
        return RefusedError(
            "not_audio", "the content is MIDI, which has notes but no sound; render it to WAV first"
        )
    supported = "WAV, FLAC, Ogg, MP3, AIFF, AU, CAF, W64 and NIST"
    return RefusedError("not_audio", f"the content is {kind}; {supported} can be decoded")


def _decoded(content: _Content, form: str, max_seconds: float) -> Sound:
    # Loads libsndfile, which other raw kinds do without.
    from features.sounds.files.libsndfile import DecodingError, Reader

    try:
        reader = Reader(content.data, content.length)
    except DecodingError as error:
        raise _unreadable(content, form, str(error), error.unsupported) from None
    plausible(reader.rate, reader.channels)
    declared = reader.frames if content.counted else None
    if declared is not None:
        _require_short(declared, reader.rate, max_seconds)
    samples, peak = _samples(reader, form, max_seconds)
    if declared is not None and len(samples) + content.slack < declared:
        raise RefusedError("truncated", f"{declared:,} samples declared, {len(samples):,} read")
    if content.cut:
        raise RefusedError("truncated", content.cut)
    if not len(samples):
        raise RefusedError("empty_audio", "0 samples")
    streamed = content.streamed or (content.counted and declared is None)
    return Sound(samples, reader.rate, reader.channels, peak, form, streamed)


def _unreadable(content: _Content, form: str, words: str, unsupported: bool) -> RefusedError:
    if content.cut:
        return RefusedError("truncated", content.cut)
    codec, decoded = content.codec
    if codec and (unsupported or not decoded):
        return RefusedError("unsupported_codec", f"{form} with {codec} cannot be decoded here; {_CONVERT}")
    return RefusedError("corrupt", f"{form}: {words}")


def plausible(rate: int, channels: int) -> None:
    """Refuse a sample rate or a number of channels that no sound has, as ``bad_header``."""
    if not RATES[0] <= rate <= RATES[1]:
        raise RefusedError(
            "bad_header", f"{rate:,} samples a second; {RATES[0]:,} to {RATES[1]:,} are supported"
        )
    if not 1 <= channels <= CHANNELS:
        raise RefusedError("bad_header", f"{channels} channels; 1 to {CHANNELS} are supported")


def _require_short(samples: int, rate: int, max_seconds: float) -> None:
    if samples > max_seconds * rate:
        seconds = samples / rate
        raise RefusedError("too_long", f"{seconds:,.1f} s; at most {max_seconds:,.0f} s are decoded")


def _samples(reader: "Reader", form: str, max_seconds: float) -> tuple[np.ndarray, float]:
    """Read a sound to its end; return the mean of its channels and its peak."""
    from features.sounds.files.libsndfile import DecodingError

    parts: list[np.ndarray] = []
    peak, read = 0.0, 0
    try:
        for block in reader.blocks(_BLOCK):
            peak = max(peak, _peak(block))
            # In double precision, so that the sum of loud channels stays finite.
            parts.append(block.mean(axis=1, dtype=np.float64).astype(np.float32))
            read += len(block)
            _require_short(read, reader.rate, max_seconds)
    except DecodingError as error:
        reason = "truncated" if reader.exhausted else "corrupt"
        raise RefusedError(reason, f"{form}: {error}, after {read:,} samples") from None
    return np.concatenate(parts) if parts else np.zeros(0, np.float32), peak


def _peak(block: np.ndarray) -> float:
    wrong = block.size - int(np.isfinite(block).sum())
    if wrong:
        raise RefusedError("non_finite", f"{wrong} samples are NaN or infinite")
    return float(np.abs(block).max())


# -- what each format declares ----------------------------------------------------------------------


def _chunked(data: bytes) -> _Content:
    chunks = sound_chunks.read(data)
    if chunks.magic not in (b"FORM", b"caff"):
        form = chunks.bodies.get(b"fmt ", b"")
        if len(form) < 16:
            raise RefusedError("corrupt", "no format block")
        _, channels, rate = struct.unpack_from((">" if chunks.magic == b"RIFX" else "<") + "HHI", form)
        plausible(rate, channels)
        if codecs.wave_tag(chunks) == codecs.MP3_TAG:
            return _mpeg(chunks.samples)
    codec = codecs.of_chunks(chunks)
    return _Content(chunks.whole(), streamed=chunks.streamed, codec=codec)


def _mpeg(data: bytes) -> _Content:
    stream = mpeg.stream(data)
    return _Content(stream.content, stream.length, stream.counted, stream.samples)


def _au(data: bytes) -> _Content:
    order = ">" if data[:4] == b".snd" else "<"
    if len(data) < 24:
        raise RefusedError("truncated", "the file ends inside its header")
    place, size, encoding = struct.unpack_from(order + "III", data, 4)
    there = len(data) - place
    streamed = size == 0xFFFFFFFF or (size == 0 and there > 1)
    if not streamed and size > there:
        raise RefusedError("truncated", f"{size:,} bytes of samples declared, {max(there, 0):,} there")
    if streamed:
        data = data[:8] + struct.pack(order + "I", max(there, 0)) + data[12:]
    return _Content(data, streamed=streamed, codec=codecs.of_au(encoding))


def _nist(data: bytes) -> _Content:
    if codec := codecs.of_nist(data):
        raise RefusedError("unsupported_codec", f"{codec} cannot be decoded here; {_CONVERT}")
    fields = dict(re.findall(rb"^(\w+) -i (\d+)", data[:1024], re.MULTILINE))
    size = int(fields.get(b"channel_count", 1)) * int(fields.get(b"sample_n_bytes", 1))
    declared, there = size * int(fields.get(b"sample_count", 0)), len(data) - 1024
    if declared > there:
        raise RefusedError("truncated", f"{declared:,} bytes of samples declared, {max(there, 0):,} there")
    return _Content(data)


def _ogg(data: bytes) -> _Content:
    flags = list(_ogg_flags(data))
    first = next((place for place, flag in enumerate(flags) if not flag & _FIRST), len(flags))
    if any(flag & _FIRST for flag in flags[first:]):
        raise RefusedError(
            "unsupported_variant", f"several streams in a chain, only one is decoded; {_CONVERT}"
        )
    cut = "the Ogg stream has no last page" if first and not _ogg_ends(data) else None
    return _Content(data, cut=cut, codec=(codecs.of_ogg(data), False))


#: Flag of the first page of an Ogg stream (RFC 3533).
_FIRST = 2


def _ogg_flags(data: bytes) -> Iterator[int]:
    """Yield the flags of one page after the other."""
    place = 0
    while data.startswith(b"OggS", place) and place + 27 <= len(data):
        yield data[place + 5]
        segments = data[place + 26]
        place += 27 + segments + sum(data[place + 27 : place + 27 + segments])


def _ogg_ends(data: bytes) -> bool:
    """Return whether the last page ends its stream (flag 4 of RFC 3533) and is complete."""
    page = data.rfind(b"OggS")
    if page + 27 > len(data):
        return False
    flags, segments = data[page + 5], data[page + 26]
    table = data[page + 27 : page + 27 + segments]
    return bool(flags & 4) and page + 27 + segments + sum(table) <= len(data)


_PREPARED: dict[str, Callable[[bytes], _Content]] = {
    "WAV": _chunked,
    "RF64": _chunked,
    "W64": _chunked,
    "AIFF": _chunked,
    "CAF": _chunked,
    "AU": _au,
    "NIST": _nist,
    "OGG": _ogg,
    "MP3": _mpeg,
    "MP2": _mpeg,
    "MP1": _mpeg,
}


def in_range(sound: Sound, out_of_range: str = "reject") -> np.ndarray:
    """Bring a sound's samples to [-1, 1].

    Args:
        sound: what `decode` returned.
        out_of_range: what becomes of samples far beyond: ``reject`` or ``normalise``.

    Raises:
        RefusedError: ``out_of_range``.
    """
    if sound.peak <= LOUDEST:
        return np.clip(sound.samples, -1.0, 1.0)
    if out_of_range == "reject":
        todo = "data.out_of_range=normalise scales such sounds"
        raise RefusedError("out_of_range", f"peak {sound.peak:.4g} of full scale 1; {todo}")
    loudest = np.abs(sound.samples).max()  # 0 if the channels cancel each other.
    return sound.samples / np.float32(loudest) if loudest else sound.samples


def wave_bytes(samples: np.ndarray, rate: int) -> bytes:
    """Write samples as a WAV file of 16-bit PCM, one channel; beyond [-1, 1] they are clipped.

    Samples that came from 16 bits come out as they were.
    """
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(pcm)) + pcm
    return struct.pack("<4sI", b"RIFF", len(body)) + body

"""Sound files that people really have: cut off, streamed, in rare codecs, and called what they are not."""

import contextlib
import hashlib
import io
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from features.errors import DataError
from features.formats import mpeg
from features.formats.content_type import sniff
from features.formats.sounds import CONVERTIBLE, DECODED, ENDINGS, SUFFIXES
from features.ingest.ingest import ingest
from features.quarantine import NOTES, REASONS, RefusedError
from features.sounds.check import check
from features.sounds.files import decoding
from features.sounds.files.decoding import decode, wave_bytes
from features.sounds.rules import AudioRules
from features.sources.files.candidates import Columns
from features.spec import AUDIO
from serving.client import commands, forms, sounds
from tests.conftest import ROOT

RATE = 16_000
RULES = AudioRules().verdict_rules()


def tone(seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    left = 0.5 * np.sin(2 * np.pi * 440 * time)
    return np.stack([left * 0.9**channel for channel in range(channels)], 1).astype(np.float32)


def encoded(kind: str, subtype: str = "PCM_16", samples: np.ndarray | None = None, rate: int = RATE) -> bytes:
    stream = io.BytesIO()
    soundfile.write(
        stream, tone(rate=rate) if samples is None else samples, rate, format=kind, subtype=subtype
    )
    return stream.getvalue()


def oracle(data: bytes) -> np.ndarray:
    """What soundfile reads in one go, as the mean of the channels; sequentially where it cannot seek."""
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        samples = file.read(file.frames, dtype="float32", always_2d=True)
    return samples.mean(axis=1, dtype=np.float64).astype(np.float32)


def refusal(data: bytes, suffix: str = ".wav", **rules: object) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        check(data, suffix, RULES | rules)
    return caught.value


def wave(samples: np.ndarray, *chunks: bytes, size: int | None = None, riff: int | None = None) -> bytes:
    """A WAV file of 16 bits with chunks before its samples, and sizes as given."""
    pcm = np.rint(samples[:, 0] * 32767).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    body = b"WAVE" + form + b"".join(chunks)
    body += struct.pack("<4sI", b"data", len(pcm) if size is None else size) + pcm
    return struct.pack("<4sI", b"RIFF", len(body) if riff is None else riff) + body


def expected(samples: np.ndarray) -> np.ndarray:
    return np.rint(samples[:, 0] * 32767).astype(np.float32) / 32768


# -- mp3-short-stream -------------------------------------------------------------------------------


def without_tag(data: bytes) -> bytes:
    """An MP3 file without the frame that counts the others."""
    first = mpeg.find(data)
    assert first is not None
    return data[first.end :]


def frames(data: bytes) -> list[mpeg.Frame]:
    first = mpeg.find(data)
    assert first is not None
    return list(mpeg._frames(data, first))


def test_case_mp3_short_streams_are_truncated(cases: Path) -> None:
    for name, declared, there in (("long", 155, 73), ("short", 40, 15)):
        refused = refusal((cases / "mp3-short-stream" / f"{name}.mp3").read_bytes(), ".mp3")
        assert refused.reason == "truncated"
        assert f"{declared} frames declared, {there} there" in refused.detail


def test_case_mp3_of_variable_rate_without_a_count_has_its_true_length(cases: Path) -> None:
    data = (cases / "mp3-short-stream" / "vbr_without_xing.mp3").read_bytes()
    sound = decode(data, 600)
    assert len(sound.samples) == 155 * 1152
    assert sound.peak < 1.3
    assert check(data, ".mp3", RULES).measures["seconds"] == pytest.approx(155 * 1152 / 44_100, abs=1e-4)


@pytest.mark.parametrize(("loud", "quiet"), [(0, 1), (1, 0)])
def test_mp3_of_two_rates_without_a_count_loses_nothing(loud: int, quiet: int) -> None:
    """A decoder that guesses the length from the first frame stops early where the later ones are smaller."""
    noise = np.random.default_rng(0).normal(0, 0.2, (44_100, 1)).astype(np.float32)
    halves = [noise, 0.001 * noise]
    data = encoded("MP3", "MPEG_LAYER_III", np.concatenate([halves[loud], halves[quiet]]), 44_100)
    tail = without_tag(data)
    assert len(decode(tail, 600).samples) == 1152 * len(frames(tail))


def test_mp3_cut_anywhere_is_whole_or_truncated() -> None:
    data = encoded("MP3", "MPEG_LAYER_III", tone(0.4))
    whole, ends = decode(data, 600).samples, [frame.end for frame in frames(data)]
    assert len(whole) == 0.4 * RATE
    for size in range(ends[2], len(data) + 1, 7):
        missing = sum(end > size for end in ends)
        if missing > 1:
            assert refusal(data[:size], ".mp3").reason == "truncated", size
            continue
        samples = decode(data[:size], 600).samples
        assert len(whole) - 576 <= len(samples) <= len(whole)
        np.testing.assert_allclose(samples, whole[: len(samples)], atol=1e-6)


def test_mp3_without_a_count_cut_anywhere_is_as_long_as_its_frames() -> None:
    data = without_tag(encoded("MP3", "MPEG_LAYER_III", tone(0.4)))
    whole, ends = decode(data, 600).samples, [frame.end for frame in frames(data)]
    for size in range(ends[1], len(data) + 1, 37):
        samples = decode(data[:size], 600).samples
        assert len(samples) == 576 * sum(end <= size for end in ends)
        np.testing.assert_allclose(samples, whole[: len(samples)], atol=1e-6)


_DIRTY = """
import hashlib, sys
import numpy as np
from features.sounds.files.decoding import decode
if sys.argv[2] == "dirty":
    blocks = [np.full(1 << 16, 1e30, np.float32) for _ in range(200)]
    del blocks
print(hashlib.sha256(decode(open(sys.argv[1], "rb").read(), 600).samples.tobytes()).hexdigest())
"""


def test_mp3_is_decoded_equally_whatever_stood_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "short.mp3"
    data = encoded("MP3", "MPEG_LAYER_III", tone(3))
    path.write_bytes(data[: frames(data)[-1].end - 1])
    digests = {
        subprocess.run(
            [sys.executable, "-c", _DIRTY, path, memory], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        for memory in ("fresh", "dirty")
    }
    assert digests == {hashlib.sha256(decode(path.read_bytes(), 600).samples.tobytes()).hexdigest()}


ID3V2 = b"ID3\4\0\0\0\0\2\1" + b"TIT2" + bytes(253)
ID3V1 = b"TAG" + b"title".ljust(125, b"\0")
#: An APEv2 tag whose cover art holds what looks like the header of a frame.
APE = (
    b"APETAGEX" + struct.pack("<IIII8x", 2000, 64, 1, 0xA0000000)
    + b"\xff\xfb\x90\xc4".ljust(32, b"\1")
    + b"APETAGEX" + struct.pack("<IIII8x", 2000, 64, 1, 0x80000000)
)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ID3V2, b""),
        (ID3V2 + ID3V2, ID3V1),
        (b"", ID3V1),
        (b"", APE + ID3V1),
        (bytes(700), b""),
        (bytes(60_000), b""),
        (ID3V2 + bytes(5_000), APE),
        (b"ID3\4\0\0\x7f\x7f\x7f\x7f", b""),
        (b"\r\n\r\n", b"\0" * 300),
    ],
)
def test_what_stands_around_mp3_frames_is_no_sound(before: bytes, after: bytes) -> None:
    data = encoded("MP3", "MPEG_LAYER_III")
    sound = decode(before + data + after, 600)
    assert sound.format == "MP3"
    np.testing.assert_allclose(sound.samples, decode(data, 600).samples, atol=1e-6)
    assert len(sound.samples) == 0.5 * RATE  # The encoder's delay and padding are cut off, as its tag says.


def test_case_mp3_behind_junk_is_accepted(cases: Path) -> None:
    data = (cases / "audio-unnamed" / "mp3_leading_junk.mp3").read_bytes()
    facts = check(data, ".mp3", RULES)
    assert (facts.format, facts.measures["seconds"], facts.notes) == ("MP3", 0.5, ("resampled",))


def test_mp3_files_that_were_joined_are_heard_to_the_end() -> None:
    data = encoded("MP3", "MPEG_LAYER_III")
    sound = decode(data + ID3V2 + data, 600)
    # The second file's tag is a frame of silence between them; 576 samples are a frame at this rate.
    assert len(sound.samples) == pytest.approx(RATE, abs=4 * 576)
    assert np.abs(sound.samples[-4000:]).max() > 0.4


def test_an_mp3_count_of_zero_is_none(tmp_path: Path) -> None:
    data = bytearray(encoded("MP3", "MPEG_LAYER_III"))
    place = max(data.find(b"Xing"), data.find(b"Info"))
    data[place + 8 : place + 12] = bytes(4)
    assert len(decode(bytes(data), 600).samples) >= 0.5 * RATE


def test_a_vbri_tag_counts_frames() -> None:
    tail = without_tag(encoded("MP3", "MPEG_LAYER_III", tone(rate=44_100), 44_100))
    count = len(frames(tail))

    def tagged(declared: int) -> bytes:
        tag = struct.pack(">4sHHHII", b"VBRI", 1, 0, 75, len(tail), declared)
        return (tail[:2] + b"\x90" + tail[3:4] + bytes(32) + tag).ljust(417, b"\0") + tail

    np.testing.assert_allclose(decode(tagged(count), 600).samples, decode(tail, 600).samples, atol=1e-6)
    refused = refusal(tagged(count + 5), ".mp3")
    assert refused.reason == "truncated"


def test_data_without_frames_is_not_taken_for_mp3() -> None:
    noise = np.random.default_rng(1).bytes(200_000)
    assert sniff(noise) in ("binary data", "AAC audio", "AC-3 audio")
    assert sniff("ÿþ text in UTF-16".encode("utf-16")) != "MP1 audio"
    assert refusal(b"\xff\xfb\x90\x64" + bytes(10), ".mp3").reason in ("corrupt", "too_short")


# -- every format, cut anywhere ---------------------------------------------------------------------

KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAV", "ALAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"),
    ("WAV", "GSM610"),
    ("WAV", "G721_32"),
    ("WAV", "NMS_ADPCM_16"),
    ("WAV", "NMS_ADPCM_24"),
    ("WAV", "NMS_ADPCM_32"),
    ("WAVEX", "PCM_16"),
    ("WAVEX", "FLOAT"),
    ("RF64", "PCM_24"),
    ("W64", "PCM_16"),
    ("W64", "MS_ADPCM"),
    ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"),
    ("AIFF", "ULAW"),
    ("AIFF", "IMA_ADPCM"),
    ("AIFF", "PCM_S8"),
    ("AU", "PCM_16"),
    ("AU", "ULAW"),
    ("AU", "DOUBLE"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("CAF", "ALAW"),
    ("NIST", "PCM_16"),
    ("NIST", "ULAW"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("IRCAM", "PCM_16"),
    ("PVF", "PCM_16"),
    ("PAF", "PCM_16"),
    ("HTK", "PCM_16"),
]
#: Formats whose header does not say how long the sound is.
UNCOUNTED = ("IRCAM", "PVF", "PAF")


@pytest.mark.parametrize(("kind", "subtype"), KINDS)
def test_every_codec_is_decoded_as_soundfile_decodes_it(kind: str, subtype: str) -> None:
    data = encoded(kind, subtype)
    sound = decode(data, 600)
    np.testing.assert_array_equal(sound.samples, oracle(data))
    assert sound.format == {"WAVEX": "WAV"}.get(kind, kind)
    assert not sound.streamed
    assert "extension_mismatch" not in check(data, ENDINGS[sound.format][0], RULES).notes
    assert "extension_mismatch" in check(data, ".mp3", RULES).notes


@pytest.mark.parametrize(("kind", "subtype"), KINDS)
def test_every_format_cut_anywhere_is_refused(kind: str, subtype: str) -> None:
    data = encoded(kind, subtype, tone(0.1))
    whole, reasons = decode(data, 600).samples, set()
    for size in {len(data) - 1, len(data) - 2, *range(0, len(data) - 2, max(1, len(data) // 40))}:
        try:
            sound = decode(data[:size], 600)
        except RefusedError as refused:
            reasons.add(refused.reason)
            continue
        # What fills the last chunk up to an even or aligned size is no sound.
        assert kind in UNCOUNTED or len(sound.samples) == len(whole), size
        np.testing.assert_array_equal(sound.samples, whole[: len(sound.samples)])
    assert reasons <= {"truncated", "corrupt", "empty_audio", "not_audio"}


# -- wav-gsm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "samples"), [("G721_32", 8040), ("GSM610", 8320), ("NMS_ADPCM_16", 8000)])
def test_case_codecs_that_cannot_be_sought_in(cases: Path, name: str, samples: int) -> None:
    data = (cases / "wav-gsm" / f"wav_{name}.wav").read_bytes()
    sound = decode(data, 600)
    assert (sound.format, sound.rate, len(sound.samples)) == ("WAV", RATE, samples)
    np.testing.assert_array_equal(sound.samples, oracle(data))


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        (0x0161, "WMA 2"),
        (0x00FF, "AAC"),
        (0x2000, "AC-3"),
        (0x0042, "G.723.1"),
        (0x0050, "MPEG layer 1 or 2"),
        (0x0022, "TrueSpeech"),
        (0x1234, "an unknown codec (tag 0x1234"),
    ],
)
def test_codecs_of_wav_that_are_not_decoded_are_named(tag: int, words: str) -> None:
    data = bytearray(wave(tone()))
    struct.pack_into("<H", data, 20, tag)
    refused = refusal(bytes(data))
    assert refused.reason == "unsupported_codec"
    assert words in refused.detail
    assert "ffmpeg" in refused.detail


def test_unknown_codecs_of_other_containers_are_named() -> None:
    shorten = b"sample_coding -s26 pcm,embedded-shorten-v2.00"
    wide = bytearray(wave(tone()))
    struct.pack_into("<HH", wide, 32, 8, 64)
    for data, words in (
        (bytes(wide), "PCM (tag 0x0001, 64 bits)"),
        (encoded("AIFF", "ULAW").replace(b"ulaw", b"QDM2", 1), "QDM2"),
        (encoded("CAF", "ULAW").replace(b"ulaw", b"aac ", 1), "aac"),
        (encoded("OGG", "VORBIS").replace(b"\x01vorbis\0", b"Speex   ", 1), "Speex"),
        (encoded("AU")[:12] + struct.pack(">I", 99) + encoded("AU")[16:], "encoding 99"),
        (encoded("NIST").replace(b"sample_coding -s3 pcm", shorten, 1), "shorten"),
    ):  # fmt: skip
        refused = refusal(data)
        assert (refused.reason, words in refused.detail) == ("unsupported_codec", True), (words, refused)


def test_mp3_in_a_wav_file_is_decoded() -> None:
    data = encoded("MP3", "MPEG_LAYER_III", tone(rate=44_100), 44_100)
    form = struct.pack("<4sIHHIIHHHHIHHH", b"fmt ", 30, 0x55, 1, 44_100, 16_000, 1, 0, 12, 1, 2, 1152, 1, 0)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    sound = decode(struct.pack("<4sI", b"RIFF", len(body)) + body + bytes(len(body) % 2), 600)
    assert sound.format == "WAV"
    np.testing.assert_allclose(sound.samples, decode(data, 600).samples, atol=1e-6)


# -- wav-streamed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["7fffff", "ffffffff", "zero"])
def test_case_streamed_wav_is_read_to_its_end(cases: Path, name: str) -> None:
    data = (cases / "wav-streamed" / f"stream_{name}.wav").read_bytes()
    facts = check(data, ".wav", RULES)
    assert (facts.measures["seconds"], facts.notes) == (0.5, ("streamed",))
    pcm = np.frombuffer(data[44:], "<i2").astype(np.float32) / 32768
    np.testing.assert_array_equal(decode(data, 600).samples, pcm)


INFO = b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0e\0\0\0Lavf59.27.100\0"


@pytest.mark.parametrize(
    ("riff", "size"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFDB),
        (0x7FFFFFFF, 0x7FFFFFDB),
        (0x7FFFF024, 0x7FFFF000),
        (0x80000024, 0x80000000),
        (0x7FFFFFFF, 0x7FFFFFFF),
        (0, 0),
        (8, 0),
        (0xFFFFFFFF, 0),
        (36, 0),
        (0, 0xFFFFFFFF),
    ],
)
@pytest.mark.parametrize("chunks", [(), (INFO,), (b"JUNK\x1c\0\0\0" + bytes(28), INFO)])
def test_sizes_that_stand_for_unknown(riff: int, size: int, chunks: tuple[bytes, ...]) -> None:
    data = wave(tone(), *chunks, size=size, riff=riff)
    sound = decode(data, 600)
    assert sound.streamed
    np.testing.assert_array_equal(sound.samples, expected(tone()))


@pytest.mark.parametrize("size", [16_002, 20_000, 1_000_000, 0x7FFFE000, 0x90000000, 0xFFFFFFF0])
def test_plain_sizes_beyond_the_end_are_truncated(size: int) -> None:
    refused = refusal(wave(tone(), size=size))
    assert refused.reason == "truncated"
    assert f"{size:,} bytes of samples declared, 16,000 there" in refused.detail


@pytest.mark.parametrize("riff", [0, 100, 0xFFFFFFFF, 0x7FFFFFFF, 1_000_000])
def test_the_riff_size_alone_decides_nothing(riff: int) -> None:
    sound = decode(wave(tone(), riff=riff), 600)
    assert not sound.streamed
    np.testing.assert_array_equal(sound.samples, expected(tone()))


def test_chunks_around_the_samples() -> None:
    bext = b"bext" + struct.pack("<I", 603) + bytes(604)
    unpadded = b"LIST" + struct.pack("<I", 25) + b"INFOISFT\x0d\0\0\0Lavf59.27.10\0"
    fact = b"fact\4\0\0\0" + struct.pack("<I", 8000)
    for chunks in ((bext,), (bext, INFO), (unpadded,), (fact, unpadded), (b"PEAK\x10\0\0\0" + bytes(16),)):
        np.testing.assert_array_equal(decode(wave(tone(), *chunks), 600).samples, expected(tone()))
    behind = wave(tone()) + INFO + b"id3 \x0a\0\0\0ID3\4\0\0\0\0\0\0"
    np.testing.assert_array_equal(decode(behind, 600).samples, expected(tone()))
    garbage = wave(tone()) + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"
    np.testing.assert_array_equal(decode(garbage, 600).samples, expected(tone()))


def test_an_empty_sound_is_no_streamed_one() -> None:
    nothing = wave(tone()[:0], size=0)
    for data in (nothing, nothing + INFO, nothing + b"\0", nothing + INFO + INFO):
        assert refusal(data).reason == "empty_audio"


def test_an_odd_number_of_bytes_ends_with_half_a_sample() -> None:
    for size in (15_999, 0xFFFFFFFF):
        data = wave(tone(), size=size)[:-1]
        samples = decode(data, 600).samples
        np.testing.assert_array_equal(samples, expected(tone())[:7999])


def streamed_rf64(magic: bytes, long: int) -> bytes:
    data = wave(
        tone(), b"ds64" + struct.pack("<IQQQI", 28, long, long, 0, 0), size=0xFFFFFFFF, riff=0xFFFFFFFF
    )
    # ds64 stands before fmt.
    return magic + data[4:12] + data[36:72] + data[12:36] + data[72:]


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_rf64(magic: bytes) -> None:
    for long, streamed in ((16_000, False), (0, True), (2**64 - 1, True)):
        sound = decode(streamed_rf64(magic, long), 600)
        assert (sound.format, sound.streamed) == ("RF64", streamed)
        np.testing.assert_array_equal(sound.samples, expected(tone()))
    assert refusal(streamed_rf64(magic, 5_000_000_000)).reason == "truncated"


def patched(data: bytes, *changes: tuple[bytes, int, bytes]) -> bytes:
    """Overwrite what stands so many bytes behind the first occurrence of a mark."""
    result = bytearray(data)
    for mark, offset, value in changes:
        place = data.index(mark) + offset
        result[place : place + len(value)] = value
    return bytes(result)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("AIFF", [(b"FORM", 4, bytes(4)), (b"SSND", 4, bytes(4)), (b"COMM", 10, bytes(4))]),
        ("AIFF", [(b"FORM", 4, b"\x7f\0\0\x2e"), (b"SSND", 4, b"\x7f\0\0\x08")]),
        ("AU", [(b".snd", 8, b"\xff\xff\xff\xff")]),
        ("AU", [(b".snd", 8, bytes(4))]),
        ("CAF", [(b"data", 4, b"\xff" * 8)]),
        ("W64", [(b"riff", 16, b"\xff" * 8), (b"data\xf3\xac", 16, b"\xff" * 7 + b"\x7f")]),
        ("W64", [(b"riff", 16, bytes(8)), (b"data\xf3\xac", 16, bytes(8))]),
        ("FLAC", [(b"fLaC", 21, b"\xf0" + bytes(4))]),
    ],
)
def test_other_formats_written_to_a_pipe(kind: str, changes: list[tuple[bytes, int, bytes]]) -> None:
    """The sizes that ffmpeg and SoX leave there (tried with ffmpeg 5.1 and SoX 14.4.2)."""
    given = encoded(kind)
    sound = decode(patched(given, *changes), 600)
    assert sound.streamed
    np.testing.assert_array_equal(sound.samples, oracle(given))


# -- audio-unnamed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [("amr", "AMR"), ("m4a", "M4A audio (AAC or ALAC)"), ("webm", "WebM")],
)
def test_case_formats_that_are_not_decoded_are_named(cases: Path, name: str, words: str) -> None:
    refused = refusal((cases / "audio-unnamed" / f"{name}_as.wav").read_bytes())
    assert refused.reason == "unsupported_format"
    assert words in refused.detail
    assert "ffmpeg -i" in refused.detail


@pytest.mark.parametrize(
    ("name", "form", "declared"),
    [
        ("aiff", "AIFF", 16_008),
        ("au", "AU", 16_000),
        ("nist", "NIST", 16_000),
        ("w64", "W64", 16_000),
        ("caf", "CAF", 16_004),
    ],
)
def test_case_formats_that_are_decoded(cases: Path, name: str, form: str, declared: int) -> None:
    """The files are the first 6,000 bytes of longer ones: cut off as they are, whole once filled up."""
    data = (cases / "audio-unnamed" / f"{name}_as.wav").read_bytes()
    refused = refusal(data)
    assert refused.reason == "truncated"
    assert f"{form}: {declared:,} bytes of samples declared" in refused.detail
    facts = check(data + bytes(22_000 - len(data)), ".wav", RULES)
    assert facts.format == form
    assert facts.measures["seconds"] == pytest.approx(0.5, abs=0.2)  # NIST counts what fills it up, too.
    assert ("extension_mismatch" in facts.notes) == (form != "NIST")
    start = {"AIFF": 54, "AU": 24, "NIST": 1024, "W64": 104, "CAF": 4096}[form]
    order = "<i2" if form in ("NIST", "W64") else ">i2"
    pcm = np.frombuffer(data[start:6000], order).astype(np.float32) / 32768
    np.testing.assert_array_equal(decode(data + bytes(16_000), 600).samples[: len(pcm)], pcm)


FOREIGN = {
    b"#!AMR\n<": "AMR",
    b"#!AMR-WB\n\x04": "AMR",
    b"#!SILK_V3\x1c": "SILK",
    b"\x02#!SILK_V3\x1c": "SILK",
    b"\0\0\0\x20ftypM4A \0\0\2\0": "M4A",
    b"\0\0\0\x20ftypM4B \0\0\2\0": "M4A",
    b"\0\0\0\x20ftypisom\0\0\2\0": "MP4",
    b"\0\0\0\x20ftypmp42\0\0\0\0": "MP4",
    b"\0\0\0\x14ftyp3gp4\0\0\2\0": "3GP",
    b"\0\0\0\x14ftypqt  \0\0\2\0": "QuickTime",
    b"\xff\xf1\x50\x80\x2e\x7f\xfc\x21": "AAC",
    b"\xff\xf9\x50\x80\x2e\x7f\xfc\x21": "AAC",
    b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + b"\xff\xf1\x50\x80\x2e\x7f": "AAC",
    b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm": "WebM",
    b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\1\x42\x82\x88matroska": "Matroska",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9": "WMA",
    b"\x0b\x77\x9e\x8a\x14\x40": "AC-3",
    b"DSD \x1c\0\0\0\0\0\0\0": "DSD",
    b"FRM8\0\0\0\0\0\0\1\0DSD ": "DSD",
    b"MAC \x96\x0f\0\0": "Monkey's Audio",
    b"wvpk\x20\0\0\0": "WavPack",
    b"MPCK": "Musepack",
    b"MP+\x07": "Musepack",
    b"TTA1\1\0": "TTA",
    b".ra\xfd\0\4": "RealAudio",
    b".RMF\0\0\0\x12": "RealMedia",
    b"Creative Voice File\x1a": "VOC",
    b"FORM\0\0\0\x64" + b"8SVXVHDR": "8SVX",
    b"ajkg\2\xfb": "Shorten",
    b"\x7f\xfe\x80\1\xfc\x3c": "DTS",
    b"RIFF\x64\0\0\0QLCMfmt ": "QCP",
    b"RIFF\x64\0\0\0XWMAfmt ": "XWMA",
    b"RIFF\x64\0\0\0AVI LIST": "AVI",
    b"FLV\1\5\0\0\0\x09": "FLV",
    b"qoaf\0\0": "QOA",
}


@pytest.mark.parametrize(("start", "words"), FOREIGN.items())
def test_known_formats_are_named_with_a_way_out(start: bytes, words: str) -> None:
    refused = refusal(start + bytes(300))
    assert refused.reason == "unsupported_format"
    assert words in refused.detail
    assert "ffmpeg" in refused.detail


def test_notes_are_no_sound() -> None:
    for start in (b"MThd\0\0\0\6\0\1", b"RIFF\x64\0\0\0RMIDdata"):
        refused = refusal(start + bytes(300), ".mid")
        assert refused.reason == "not_audio"
        assert "MIDI" in refused.detail


def test_texts_that_begin_like_sounds_stay_texts() -> None:
    for text in (
        b"MAC addresses of the lab",
        b"DSD is a format",
        b"MP+ is another",
        b"fap  and paf",
        b"RIFF raff",
    ):
        assert sniff(text + b" and so on, line by line\n" * 20) == "text"


def test_a_damaged_beginning_is_no_fault_of_ours() -> None:
    """Whatever byte of a header is wrong, the file is refused or decoded; nothing else is raised."""
    random = np.random.default_rng(2)
    kinds = (("WAV", "GSM610"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("CAF", "ALAC_16"), ("NIST", "ULAW"))
    for kind, subtype in kinds:
        given = encoded(kind, subtype, tone(0.1))
        for place in range(100):
            data = bytearray(given)
            data[place] = random.integers(256)
            with contextlib.suppress(RefusedError):
                assert len(decode(bytes(data), 600).samples)


def test_every_name_of_a_sound_is_one_of_both_kinds() -> None:
    assert set(DECODED).isdisjoint(CONVERTIBLE)
    assert AUDIO.suffixes == SUFFIXES
    assert {
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".snd",
        ".w64",
        ".caf",
        ".rf64",
        ".nist",
        ".sph",
        ".opus",
    } <= SUFFIXES
    assert {"unsupported_codec", "unsupported_format"} <= set(REASONS)
    assert "streamed" in NOTES
    documented = (ROOT / "docs" / "ingest.md").read_text("utf-8")
    assert [suffix for suffix in sorted(SUFFIXES) if f"`{suffix}`" not in documented] == []


def test_id3_before_other_formats() -> None:
    for kind in ("FLAC", "WAV", "AIFF"):
        given = encoded(kind)
        sound = decode(ID3V2 + given, 600)
        assert sound.format == kind
        np.testing.assert_array_equal(sound.samples, oracle(given))


def test_ogg_streams_in_a_chain_are_refused() -> None:
    for subtype in ("VORBIS", "OPUS"):
        data = encoded("OGG", subtype)
        assert refusal(data + data, ".ogg").reason == "unsupported_variant"


# -- what else there is -----------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_what_is_stored_is_what_the_graph_decodes(rate: int, channels: int) -> None:
    facts = check(encoded("WAV", "PCM_24", tone(0.1, rate, channels), rate), ".wav", RULES)
    assert facts.stored is not None
    in_graph, found = tf.audio.decode_wav(facts.stored)
    read, stored_rate = soundfile.read(io.BytesIO(facts.stored), dtype="float32")
    assert int(found) == stored_rate == RATE
    np.testing.assert_array_equal(in_graph[:, 0].numpy(), read)
    assert facts.measures == {"rate": rate, "channels": channels, "seconds": pytest.approx(0.1, abs=1e-3)}


def test_channels_that_cancel_each_other_are_silent_and_finite() -> None:
    loud = 5 * tone()
    data = encoded("WAV", "FLOAT", np.concatenate([loud, -loud], 1))
    facts = check(data, ".wav", RULES | {"out_of_range": "normalise"})
    assert "silent" in facts.notes
    assert facts.stored == wave_bytes(np.zeros(8000, np.float32), RATE)


def test_the_sum_of_huge_channels_stays_finite() -> None:
    data = encoded("WAV", "FLOAT", np.full((8000, 6), 3e38, np.float32))
    facts = check(data, ".wav", RULES | {"out_of_range": "normalise"})
    assert facts.stored == wave_bytes(np.ones(8000, np.float32), RATE)
    assert refusal(data).reason == "out_of_range"


def test_tiny_files_that_declare_much_are_refused_cheaply() -> None:
    assert refusal(wave(tone(0.001), size=0xF0000000)).reason == "truncated"
    flac = bytearray(encoded("FLAC"))
    flac[21:26] = b"\xff" * 5
    assert refusal(bytes(flac), ".flac").reason == "too_long"
    assert (
        refusal(encoded("AU")[:8] + struct.pack(">I", 0xF0000000) + encoded("AU")[12:]).reason == "truncated"
    )


def test_an_uncounted_sound_that_is_too_long_is_told_while_it_is_read() -> None:
    data = without_tag(encoded("MP3", "MPEG_LAYER_III", tone(6)))
    assert refusal(data, ".mp3", max_audio_seconds=4.5).reason == "too_long"
    assert check(data, ".mp3", RULES | {"max_audio_seconds": 7}).format == "MP3"


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["WAV", "AIFF", "CAF", "AU"])
def test_samples_that_are_no_numbers_in_any_format(kind: str, value: float) -> None:
    samples = tone()
    samples[-1] = value
    assert refusal(encoded(kind, "FLOAT", samples)).reason == "non_finite"


# -- the client -------------------------------------------------------------------------------------

SENT: dict[str, Callable[[], bytes]] = {
    "streamed": lambda: wave(tone(), size=0xFFFFFFFF),
    "gsm": lambda: encoded("WAV", "GSM610"),
    "aiff": lambda: encoded("AIFF"),
    "mp3 behind junk": lambda: bytes(700) + encoded("MP3", "MPEG_LAYER_III"),
    "stereo": lambda: encoded("WAV", "PCM_16", tone(channels=2)),
    "plain": lambda: wave(tone()),
}


@pytest.mark.parametrize("name", SENT)
def test_the_client_sends_what_ingest_stores(name: str) -> None:
    data = SENT[name]()
    assert sounds.wave(data) == check(data, ".wav", RULES).stored
    sent = forms.ready("audio_bytes", [data, data])
    assert list(sent) == [sounds.wave(data)] * 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (wave(tone(), size=20_000), "truncated"),
        (b"#!AMR\n" + bytes(100), "AMR"),
        (wave(tone()[:0], size=0), "empty_audio"),
        (encoded("WAV", "FLOAT", 30 * tone()), "out_of_range"),
        (encoded("WAV", "FLOAT", np.full((8000, 1), np.nan, np.float32)), "non_finite"),
    ],
)
def test_the_client_refuses_what_ingest_refuses(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        sounds.wave(data)


def test_the_curl_command_carries_the_converted_sound() -> None:
    import base64

    command = commands.curl_predict(
        "host:1", "model", {"audio_bytes": np.array([encoded("FLAC")], dtype=object)}
    )
    assert base64.b64encode(sounds.wave(encoded("FLAC"))).decode() in command


# -- ingest -----------------------------------------------------------------------------------------


def test_a_folder_of_all_of_them(cases: Path, tmp_path: Path) -> None:
    """Every case among good files: counted, named, and no fault of ours."""
    folders = ("mp3-short-stream", "wav-gsm", "wav-streamed", "audio-unnamed")
    odd = [path for name in folders for path in sorted((cases / name).iterdir()) if path.suffix != ".py"]
    for label, frequency in (("a", 1), ("b", 2)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(6):
            samples = tone(0.3 + number / 50)[::frequency]
            soundfile.write(tmp_path / "data" / label / f"good{number}.wav", samples, RATE)
    for number, path in enumerate(odd):
        (tmp_path / "data" / "ab"[number % 2] / path.name).write_bytes(path.read_bytes())
    (tmp_path / "data" / "a" / "own.aiff").write_bytes(encoded("AIFF"))
    rules = AudioRules(max_bad_fraction=1.0)
    dataset = ingest(tmp_path / "data", raw=AUDIO, columns=Columns(), rules=rules, root=tmp_path / "datasets")
    card = dataset.card
    assert card["found"] == 12 + len(odd) + 1 == card["accepted"] + card["quarantined"] + card["skipped"]
    assert card["reasons"] == {"truncated": 7, "unsupported_format": 3}
    assert card["notes"]["streamed"] == 3
    assert card["formats"] == {"AIFF": 1, "MP3": 2, "WAV": 18}
    for row in dataset.frame.itertuples():
        assert len(soundfile.read(io.BytesIO(dataset.read(row)))[0])


def test_the_decoding_module_is_the_only_one() -> None:
    """Ingest and the client decode by the same function."""
    assert sounds.decoding is decoding
    assert check.__globals__["decode"] is decoding.decode

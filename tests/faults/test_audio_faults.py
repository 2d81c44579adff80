"""Fault cases I11 to I15: sounds that are damaged, endless, empty or of every kind there is."""

import io
import struct
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from features.ingest.ingest import ingest
from features.quarantine import RefusedError
from features.sounds.check import check
from features.sounds.files.decoding import wave_bytes
from features.sounds.rules import AudioRules
from features.sources.files.candidates import Columns
from features.spec import AUDIO

RATE = 16000
RULES = AudioRules().verdict_rules()


def tone(seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return np.tile(0.5 * np.sin(2 * np.pi * 440 * time)[:, None], (1, channels)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def refusal(data: bytes, suffix: str = ".wav", **rules: object) -> str:
    with pytest.raises(RefusedError) as caught:
        check(data, suffix, RULES | rules)
    return caught.value.reason


def stored(data: bytes, suffix: str = ".wav", **rules: object) -> tuple[np.ndarray, int]:
    facts = check(data, suffix, RULES | rules)
    assert facts.stored is not None
    return soundfile.read(io.BytesIO(facts.stored), dtype="float32")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_i11_samples_that_are_no_numbers(value: float) -> None:
    samples = tone()
    samples[100] = value
    assert refusal(encoded(samples, subtype="FLOAT")) == "non_finite"


def test_i11_samples_far_beyond_full_scale() -> None:
    loud = encoded(30 * tone(), subtype="FLOAT")
    assert refusal(loud) == "out_of_range"
    facts = check(loud, ".wav", RULES | {"out_of_range": "normalise"})
    assert "normalised" in facts.notes
    samples, _ = stored(loud, out_of_range="normalise")
    assert np.abs(samples).max() == pytest.approx(1, abs=1e-4)
    slightly = check(encoded(2.4 * tone(), subtype="FLOAT"), ".wav", RULES)
    assert slightly.notes == ("clipped",)


@pytest.mark.parametrize(
    ("kind", "subtype", "suffix", "channels", "tolerance"),
    [
        ("WAV", "PCM_16", ".wav", 1, 0),
        ("WAV", "PCM_24", ".wav", 1, 2e-5),
        ("WAV", "PCM_32", ".wav", 1, 2e-5),
        ("WAV", "FLOAT", ".wav", 1, 2e-5),
        ("WAV", "PCM_U8", ".wav", 1, 8e-3),
        ("FLAC", "PCM_16", ".flac", 1, 0),
        ("OGG", "VORBIS", ".ogg", 1, 0.06),
        ("MP3", "MPEG_LAYER_III", ".mp3", 1, None),
        ("WAV", "PCM_16", ".wav", 8, 0),
    ],
)
def test_i12_every_kind_is_accepted(
    kind: str, subtype: str, suffix: str, channels: int, tolerance: float | None
) -> None:
    given = tone(channels=channels)
    samples, rate = stored(encoded(given, kind=kind, subtype=subtype), suffix)
    assert rate == RATE
    assert samples.ndim == 1
    if tolerance is None:
        # An encoder's own delay shifts the sound: the spectrum is compared.
        peak = np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples)
        assert peak == pytest.approx(440, abs=2)
    else:
        as_16_bits = np.rint(given[:, 0] * 32767) / 32768 if tolerance == 0 else given[:, 0]
        np.testing.assert_allclose(samples, as_16_bits, atol=tolerance or 1 / 32768)


def test_i12_channels_are_averaged() -> None:
    left, right = tone()[:, 0], 0.2 * np.ones(len(tone()), np.float32)
    samples, _ = stored(encoded(np.stack([left, right], 1), subtype="FLOAT"))
    np.testing.assert_allclose(samples, (left + right) / 2, atol=2e-5)


def test_i13_nothing_to_hear() -> None:
    whole = wave_bytes(tone()[:, 0], RATE)
    assert refusal(whole[:44]) in ("truncated", "empty_audio")
    assert refusal(wave_bytes(np.zeros(0, np.float32), RATE)) == "empty_audio"
    assert refusal(wave_bytes(np.ones(1, np.float32), RATE)) == "too_short"
    assert refusal(whole[:20]) in ("truncated", "empty_audio")
    silent = check(wave_bytes(np.zeros(RATE, np.float32), RATE), ".wav", RULES)
    assert silent.notes == ("silent",)


def test_i14_less_than_declared() -> None:
    whole = wave_bytes(tone()[:, 0], RATE)
    assert refusal(whole[:-2000]) == "truncated"
    endless = bytearray(whole)
    endless[40:44] = struct.pack("<I", 0xFFFFFFF0)
    assert refusal(bytes(endless)) == "truncated"
    flac = encoded(tone(2), kind="FLAC")
    assert refusal(flac[: len(flac) // 2], ".flac") in ("truncated", "corrupt")
    ogg = encoded(tone(5), kind="OGG", subtype="VORBIS")
    assert refusal(ogg[: len(ogg) * 2 // 3], ".ogg") in ("truncated", "corrupt")


@pytest.mark.parametrize(
    ("offset", "form", "value"), [(24, "<I", 0), (24, "<I", 4_000_000_000), (22, "<H", 0), (22, "<H", 65535)]
)
def test_i15_headers_of_no_sound(offset: int, form: str, value: int) -> None:
    whole = bytearray(wave_bytes(tone()[:, 0], RATE))
    struct.pack_into(form, whole, offset, value)
    assert refusal(bytes(whole)) == "bad_header"


def test_too_long_is_told_before_decoding() -> None:
    assert refusal(encoded(tone(3)), max_audio_seconds=2.0) == "too_long"


def test_what_is_no_sound_is_named() -> None:
    with pytest.raises(RefusedError, match="PDF"):
        check(b"%PDF-1.4 nothing to hear here", ".wav", RULES)
    assert refusal(b"OggS" + bytes(200), ".ogg") == "corrupt"


def test_i15_rates_are_mixed_and_told(tmp_path: Path) -> None:
    """8, 16 and 44.1 kHz come out at one rate, as librosa resamples them; the card has the table."""
    for label, pitch in (("a", 1), ("b", 2)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            rate = (8000, 16000, 44100)[number % 3]
            samples = tone(0.3 + number / 50, rate)[::pitch]
            soundfile.write(tmp_path / "data" / label / f"{number}.wav", samples, rate, subtype="PCM_16")
    dataset = ingest(
        tmp_path / "data", raw=AUDIO, columns=Columns(), rules=AudioRules(), root=tmp_path / "datasets"
    )
    assert dataset.card["accepted"] == 24
    assert dataset.card["values"]["rate"] == {"8000": 8, "16000": 8, "44100": 8}
    assert dataset.card["notes"]["resampled"] == 16
    for row in dataset.frame.itertuples():
        samples, rate = soundfile.read(io.BytesIO(dataset.read(row)), dtype="float32")
        assert rate == RATE
        original, found = soundfile.read(tmp_path / "data" / row.name, dtype="float32")
        expected = librosa.resample(original, orig_sr=found, target_sr=RATE) if found != RATE else original
        np.testing.assert_allclose(samples, np.clip(expected, -1, 1), atol=1 / 32768)

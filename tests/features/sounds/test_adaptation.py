"""Settings that say ``auto``: windows and bands by the lengths and rates of the training split's sounds."""

from types import SimpleNamespace

import librosa
import numpy as np
import pytest

from features.settings import Survey
from features.sounds.featurizer import AudioFeaturizer, AudioFeaturizerSettings

AUTO = dict.fromkeys(("seconds", "hop_length", "n_fft", "n_mels", "fmax"), "auto")


def survey(clip: float, rate: int = 44_100, kept: int = 16_000) -> Survey:
    measures = {"seconds": np.full(20, clip), "rate": np.full(20, rate)}
    return Survey(20, SimpleNamespace(sample_rate=kept), measures)


def adapted(clip: float, rate: int = 44_100, kept: int = 16_000, **given: object) -> dict[str, object]:
    settings = AudioFeaturizerSettings.model_validate(AUTO | given).adapted(survey(clip, rate, kept))
    return settings.model_dump(include=set(AUTO))


@pytest.mark.parametrize(
    ("clip", "rate", "kept", "expected"),
    [
        (5.0, 16_000, 16_000, (2.5, 512, 1024, 64, None)),
        (3.0, 44_100, 16_000, (2.0, 512, 1024, 64, None)),
        (1.0, 16_000, 16_000, (1.0, 256, 512, 64, None)),
        (0.5, 8_000, 16_000, (0.5, 128, 512, 48, 4000.0)),
        (0.5, 8_000, 8_000, (0.5, 64, 256, 48, None)),
        (0.1, 48_000, 16_000, (0.5, 128, 512, 64, None)),
    ],
)
def test_windows_and_bands_follow_the_sounds(
    clip: float, rate: int, kept: int, expected: tuple[object, ...]
) -> None:
    found = adapted(clip, rate, kept)
    names = ("seconds", "hop_length", "n_fft", "n_mels", "fmax")
    assert tuple(found[name] for name in names) == expected


@pytest.mark.parametrize("clip", [0.5, 1.7, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0])
def test_windows_that_overlap_by_half_end_where_a_usual_clip_ends(clip: float) -> None:
    seconds = float(adapted(clip)["seconds"])  # type: ignore[arg-type]
    windows = round(2 * clip / seconds) - 1
    assert seconds <= 2.5
    np.testing.assert_allclose((windows + 1) * seconds / 2, clip, atol=0.01 * (windows + 1) / 2)
    # One window fewer would have to be longer than 2.5 s.
    assert windows == 1 or 2 * clip / windows > 2.5


def test_a_few_long_clips_do_not_stretch_the_window() -> None:
    seconds = np.concatenate([np.full(99, 0.6), [30.0]])
    crowd = Survey(100, SimpleNamespace(sample_rate=16_000), {"seconds": seconds, "rate": seconds * 0 + 8000})
    assert AudioFeaturizerSettings.model_validate(AUTO).adapted(crowd).seconds == 0.6


def test_no_band_is_empty_and_all_are_as_wide_as_of_64_up_to_8_khz() -> None:
    for clip, rate, kept in ((5.0, 16_000, 16_000), (0.5, 8_000, 16_000), (0.5, 8_000, 8_000)):
        found = adapted(clip, rate, kept)
        bands = librosa.filters.mel(
            sr=kept, n_fft=found["n_fft"], n_mels=found["n_mels"], fmax=found["fmax"] or kept / 2
        )
        assert (bands.sum(1) > 0).all()
        widths = librosa.hz_to_mel(found["fmax"] or kept / 2) / (found["n_mels"] + 1)
        np.testing.assert_allclose(widths, librosa.hz_to_mel(8000.0) / 65, rtol=0.1)


def test_what_is_given_stays_and_the_rest_follows_it() -> None:
    found = adapted(5.0, seconds=1.0, fmax=3000.0)
    assert found == {"seconds": 1.0, "hop_length": 256, "n_fft": 512, "n_mels": 40, "fmax": 3000.0}


def test_settings_without_auto_are_as_they_were() -> None:
    settings = AudioFeaturizerSettings()
    assert settings.adapted(Survey(0)) == settings


def test_adapted_settings_make_a_featurizer_of_about_64_to_80_frames() -> None:
    settings = AudioFeaturizerSettings.model_validate(AUTO).adapted(survey(5.0))
    spectrum = settings.model_dump(include={"n_fft", "hop_length", "n_mels", "fmax"})
    assert AudioFeaturizer(16_000, settings.seconds, spectrum=spectrum).spec.shape == (None, 79, 64)

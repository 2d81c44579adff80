"""The constant-Q spectrogram against librosa's."""

import librosa
import numpy as np
import pytest
import tensorflow as tf

from features.sounds.constant_q import ConstantQ

RATE, HOP = 16_000, 256


def sounds() -> dict[str, np.ndarray]:
    time = np.arange(3 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * hertz * time) for hertz in (27.5, 65.4, 440.0, 1318.5, 4186.0))
    sweep = librosa.chirp(fmin=30, fmax=6500, sr=RATE, duration=3.0)
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE)
    return {"chord": 0.1 * chord, "sweep": 0.5 * sweep, "noise": noise}


@pytest.mark.parametrize("name", ["chord", "sweep", "noise"])
def test_powers_are_those_of_librosa(name: str) -> None:
    samples = sounds()[name].astype(np.float32)
    layer = ConstantQ(RATE, HOP, top_db=None)
    wanted = np.abs(
        librosa.cqt(samples, sr=RATE, hop_length=HOP, fmin=27.5, n_bins=288, bins_per_octave=36, sparsity=0)
    ).T
    found = np.sqrt(layer.mel_power(samples[None]).numpy()[0])
    assert found.shape == wanted.shape
    # At the ends of a sound the filters that halve the rate ring differently.
    found, wanted = found[70:-70], wanted[70:-70]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-3 * wanted.max())
    loud = wanted > 0.01 * wanted.max()
    apart = np.abs(20 * np.log10(found[loud] / wanted[loud]))
    assert loud.sum() > 300
    assert np.median(apart) < 0.001
    assert np.quantile(apart, 0.99) < 0.1


def test_decibels_are_cut_off_below_the_loudest_of_each_sound() -> None:
    samples = np.stack([sounds()["chord"], 0.01 * sounds()["noise"]]).astype(np.float32)
    decibels = ConstantQ(RATE, HOP, top_db=60.0)(samples).numpy()
    np.testing.assert_allclose(np.ptp(decibels[0]), 60.0, atol=1e-3)
    assert np.ptp(decibels[1]) < 60


def test_a_sound_is_the_same_alone_and_beside_a_longer_one() -> None:
    long = sounds()["chord"][: 2 * RATE].astype(np.float32)
    short = np.zeros_like(long)
    short[:RATE] = sounds()["sweep"][:RATE]
    layer = ConstantQ(RATE, HOP)
    alone = layer.mel_power(short[None, :RATE]).numpy()[0]
    together = layer.mel_power(np.stack([short, long])).numpy()[0, : len(alone)]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{"hop_length": 100}, {"octaves": 9}])
def test_settings_that_cannot_be_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="ConstantQ takes"):
        ConstantQ(RATE, **options)


def test_the_layer_is_made_again_from_its_config() -> None:
    layer = ConstantQ(RATE, HOP, octaves=3, fmin=110.0)
    again = ConstantQ.from_config(layer.get_config())
    samples = sounds()["noise"][None].astype(np.float32)
    np.testing.assert_array_equal(again(samples), layer(samples))
    assert layer(tf.constant(samples)).shape == (1, 188, 108)

"""What speech recognition fits on the training split, and the network it builds from that."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from features.errors import ConfigError
from features.sounds.augmentation.frames import FrameAugmentationSettings
from features.sounds.frames import FrameFeaturizerSettings
from features.sounds.rules import TranscriptRules
from models.task import Blueprint
from models.tasks import speech_recognition
from models.tasks.speech_recognition import ModelSettings

FRAME = pd.DataFrame(
    {
        "target": ["one two", "two one", "one two", "three?", "two six"],
        "split": ["train", "train", "train", "validation", "test"],
    }
)
SMALL = {"filters": (4, 4), "strides": (2, 2), "dense": 8, "units": (6,), "beam": 4}


def blueprint(units: str = "characters", frame_seconds: float = 0.04, **model: object) -> Blueprint:
    plain = Blueprint(
        rules=TranscriptRules(units=units, frame_seconds=frame_seconds, sample_rate=8000),
        featurizer=FrameFeaturizerSettings(n_fft=128, hop_length=80, n_mels=8),
        model=ModelSettings(**(SMALL | model)),
        augmentation=FrameAugmentationSettings(join=0.5),
        epochs=1,
        labels=(),
        hub=Path(),
        frame=FRAME,
    )
    return replace(plain, fitted=speech_recognition.fit(plain, ()))


def test_the_alphabet_is_that_of_the_training_split() -> None:
    fitted = blueprint().fitted
    assert fitted["alphabet"] == [" ", "e", "n", "o", "t", "w"]
    assert fitted["transcripts"] == {"one two": 2, "two one": 1}
    # h, r and ? of "three?", and s, i and x of "six".
    assert fitted["figures"] == {"alphabet/labels": 6, "alphabet/unknown_labels": 6}
    words = blueprint("words").fitted
    assert words["alphabet"] == ["one", "two"]
    assert words["figures"]["alphabet/unknown_labels"] == 2


def test_too_many_words_are_no_closed_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_recognition, "_MOST_LABELS", 1)
    with pytest.raises(ConfigError, match="too many different labels"):
        blueprint("words")


def test_frames_must_be_those_that_transcripts_were_held_against() -> None:
    with pytest.raises(ConfigError, match=r"Set data\.frame_seconds=0\.04"):
        speech_recognition.build(blueprint(frame_seconds=0.02))


@pytest.mark.parametrize(("units", "labels"), [("characters", 6), ("words", 2)])
def test_the_network_learns_what_its_alphabet_can_say(units: str, labels: int) -> None:
    network = speech_recognition.build(blueprint(units))
    (phase,) = network.phases
    assert network.model.output_shape[-1] == labels + 1
    assert phase.place is not None
    placed = phase.place(FRAME["target"].to_numpy(object), FRAME)
    text = "one two" if units == "characters" else "two"
    assert int((placed[0] >= 0).sum()) == len(text if units == "characters" else FRAME["target"][0].split())
    frames = np.random.default_rng(0).normal(-40, 10, (2, 60, 8)).astype(np.float32)
    frames[1, 50:] = np.nan
    joined = phase.augmentation(tf.constant(frames), tf.constant(placed[:2]), tf.constant([[1, 2], [3, 4]]))
    # Joined transcripts have a space between them where it is a label.
    assert joined[1].shape[1] == 2 * placed.shape[1] + (units == "characters")


def test_a_favour_that_is_chosen_changes_what_the_graph_answers() -> None:
    """The weight and the bonus are variables of the model, not constants of a traced graph."""
    network = speech_recognition.build(blueprint("words"))
    assert network.decode is not None
    frames = np.random.default_rng(0).normal(-40, 10, (1, 60, 8)).astype(np.float32)
    decode = tf.function(
        lambda inputs: network.decode(network.model(inputs, training=False), ()), autograph=False
    )
    favour = next(v for v in network.model.variables if v.name == "favour")
    favour.assign([0.0, -20.0])
    few = int(decode(tf.constant(frames))["count"][0])
    favour.assign([0.0, 20.0])
    assert int(decode(tf.constant(frames))["count"][0]) > few


def test_without_validation_examples_the_usual_favour_is_taken() -> None:
    network = speech_recognition.build(blueprint(lm_weight=0.3))
    assert network.calibrate is not None
    network.calibrate([])
    favour = next(v for v in network.model.variables if v.name == "favour")
    np.testing.assert_allclose(favour.numpy(), [0.3, 1.0])

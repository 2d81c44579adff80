"""Which notes a piano plays in a recording: when each begins and ends, its key and its loudness."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field, RootModel

from features.errors import ConfigError
from features.settings import Settings
from features.sounds.constant_q import ConstantQ
from features.sounds.featurizer import AudioFeaturizer
from features.sounds.note_augmentation import NoteAugmentation, NoteAugmentationSettings
from features.sounds.rules import NoteRules
from features.spec import AUDIO
from features.targets.notes import NOTES
from models.evaluation import note_thresholds
from models.evaluation.notes import NOTES as MEASURED
from models.export import notes as decoding
from models.network import Network, Phase
from models.networks import harmonics
from models.networks.assembly import Stage
from models.networks.harmonics import BINS_PER_KEY
from models.networks.notes import TRANSCRIPTION, Thresholds, in_frames
from models.networks.takes import Joined, WindowMaps
from models.pretrained import basic_pitch
from models.pretrained.basic_pitch import DEFAULT_MODULE, BasicPitch
from models.task import Blueprint, Task
from models.training.settings import TranscriptionSettings


class HeadSettings(Settings):
    """What listens to each key over time."""

    channels: int = Field(32, ge=1, description="feature maps of the head")
    dilations: tuple[int, ...] = Field(
        (1, 2, 4, 8), min_length=1, description="frames between the taps of each of the head's convolutions"
    )


class HubSettings(HeadSettings):
    """The hub module basic_pitch with a head over its inner maps; it hears sounds at 22,050 Hz."""

    kind: Literal["hub"] = Field(description="the TF-Hub module basic_pitch")
    backbone: str = Field(DEFAULT_MODULE, description="tfhub.dev or Kaggle handle, or the module's folder")
    mode: Literal["frozen", "fine-tune"] = Field(
        "fine-tune",
        description="frozen: train the head only; fine-tune: also the module's branches of notes and onsets",
    )


class ScratchSettings(HeadSettings):
    """Convolutions over the harmonics of a constant-Q spectrogram, and the head over them."""

    kind: Literal["cnn"] = Field(description="convolutions from scratch")
    filters: int = Field(32, ge=1, description="feature maps of the convolution over harmonics")


class ModelSettings(RootModel[Annotated[HubSettings | ScratchSettings, Field(discriminator="kind")]]):
    """The model section: its ``kind`` says whether it is pretrained."""


class ConstantQSettings(Settings):
    """What a network from scratch hears; the sample rate is that of the data section, at least 16 kHz.

    The module basic_pitch has a front of its own.
    """

    seconds: float = Field(2.0, ge=1, le=30, description="length of a window in seconds")
    hop_length: int = Field(256, multiple_of=128, ge=128, description="samples between frames")
    top_db: float = Field(80.0, gt=0, description="dynamic range below a sound's maximum, in dB")


@dataclass(frozen=True)
class Listener:
    """What hears one window.

    Attributes:
        featurizer: sounds [batch] to windows [batch, windows, ...].
        front: layer from windows to what is cached; None where windows are.
        body: what is cached to outputs [n, frames, 3, keys].
        hop: frames from window to window.
        step: seconds from frame to frame.
        bins_per_key: of what is cached; 0 where bins are not so spaced.
    """

    featurizer: AudioFeaturizer
    front: keras.Layer | None
    body: keras.Model
    hop: int
    step: float
    bins_per_key: int


#: Frames by which windows overlap; half of them are cut from either side.
_OVERLAP = 30


def _hub(blueprint: Blueprint, settings: HubSettings) -> Listener:
    rate = basic_pitch.RATE
    if blueprint.rules.sample_rate != rate:
        raise ConfigError(
            f"the module {settings.backbone} hears sounds of one sample rate",
            got=f"data.sample_rate {blueprint.rules.sample_rate}",
            expected=f"{rate}",
            todo="correct data.sample_rate",
        )
    module = BasicPitch(settings.backbone, blueprint.hub)
    if settings.mode == "frozen":
        module.network.trainable = False
    hop = basic_pitch.FRAMES - _OVERLAP
    featurizer = AudioFeaturizer(
        rate,
        basic_pitch.WINDOW / rate,
        hop * basic_pitch.HOP / rate,
        features="samples",
        max_seconds=blueprint.rules.max_audio_seconds,
    )
    decibels = keras.Input((basic_pitch.FRAMES, basic_pitch.BINS), name="decibels")
    body = keras.Model(decibels, _head(module.network(decibels), settings), name="listener")
    return Listener(featurizer, module.front, body, hop, basic_pitch.HOP / rate, BINS_PER_KEY)


def _scratch(blueprint: Blueprint, settings: ScratchSettings) -> Listener:
    rate, wanted = blueprint.rules.sample_rate, blueprint.featurizer
    if rate < ConstantQ.LOWEST_RATE:
        raise ConfigError(
            "the constant-Q spectrogram reaches up to 7,040 Hz",
            got=f"data.sample_rate {rate}",
            expected=f"at least {ConstantQ.LOWEST_RATE}",
            todo="raise data.sample_rate",
        )
    step = wanted.hop_length / rate
    hop = round(wanted.seconds / step) + 1 - _OVERLAP
    spectrum = {"hop_length": wanted.hop_length, "top_db": wanted.top_db}
    featurizer = AudioFeaturizer(
        rate,
        wanted.seconds,
        hop * step,
        features="constant-q",
        max_seconds=blueprint.rules.max_audio_seconds,
        spectrum=spectrum,
    )
    decibels = keras.Input(featurizer.spec.shape[1:], name="decibels")
    maps = harmonics.convolutions(decibels, settings.filters)
    heard = harmonics.listen(maps, settings.channels, settings.dilations)
    body = keras.Model(decibels, harmonics.said(heard), name="listener")
    return Listener(featurizer, None, body, hop, step, BINS_PER_KEY)


def _head(said: dict[str, Any], settings: HeadSettings) -> Any:
    """Correct what a network says by what its inner maps say over time."""
    keys = said["note"].shape[2]
    contour = keras.layers.Reshape((-1, keys, BINS_PER_KEY))(said["contour"])
    maps = [said["notes"], said["onsets"], said["note"], said["onset"], contour]
    heard = harmonics.listen(keras.layers.Concatenate()(maps), settings.channels, settings.dilations)
    return harmonics.corrected(said["onset"], said["note"], heard)


LISTENERS: dict[str, Callable[[Blueprint, Any], Listener]] = {"hub": _hub, "cnn": _scratch}


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe.

    Its outputs are [batch, frames, 3, keys]; see `models.networks.notes`.
    """
    settings = blueprint.model.root
    listener = LISTENERS[settings.kind](blueprint, settings)
    thresholds = Thresholds(name="thresholds")
    joined = Joined(listener.hop)
    stage, inner = Stage(listener.featurizer), listener.body
    sounds = keras.Input(listener.featurizer.spec.shape, name="features")
    cached = sounds
    if listener.front is not None:
        front = WindowMaps(listener.front, listener.body.input_shape[1:], trainable=False)
        stage = Stage(listener.featurizer, front)
        cached = keras.Input((None, *listener.body.input_shape[1:]), name="cached")
        one = keras.Input(listener.featurizer.spec.shape[1:], name="window")
        inner = keras.Model(one, listener.body(listener.front(one)), name="window_listener")
    leg = keras.Model(cached, thresholds(joined(WindowMaps(listener.body)(cached))))
    whole = leg
    if listener.front is not None:
        whole = keras.Model(sounds, thresholds(joined(WindowMaps(inner)(sounds))))
    augmentation, whole_takes = (
        NoteAugmentation(settings, listener.hop, listener.bins_per_key, listener.step)
        for settings in (blueprint.augmentation, blueprint.augmentation.model_copy(update={"heard": None}))
    )
    phase = Phase(
        "train",
        stage,
        leg,
        augmentation if augmentation.active else None,
        blueprint.epochs,
        place=lambda notes, _: in_frames(tf.constant(notes), listener.step),
    )
    decode = partial(decoding.notes, step=listener.step)

    def calibrate(batches: Any) -> None:
        thresholds.logits.assign(np.zeros(3))
        if whole_takes.active:
            # Other rooms and instruments than those of the data: thresholds must hold there as well.
            batches = [*batches, *(_changed(whole_takes, *batch) for batch in batches)]
        answer = tf.function(partial(leg, training=False), reduce_retracing=True)
        chosen = note_thresholds.choose(
            batches, answer, lambda outputs: decode(outputs, blueprint.labels), listener.step
        )
        thresholds.logits.assign([*chosen, 0.0])

    profile = keras.Model(whole.inputs, Profile()(whole.output))
    return replace(Network(listener.featurizer, whole, profile, (phase,), decode=decode), calibrate=calibrate)


def _changed(augmentation: NoteAugmentation, windows: Any, notes: Any) -> tuple[Any, Any]:
    """Change takes of the validation split, the same way each time."""
    seeds = tf.stack([tf.range(len(windows)), tf.ones(len(windows), tf.int32)], 1)
    return augmentation(windows, notes, seeds)


@keras.saving.register_keras_serializable("servable")
class Profile(keras.Layer):
    """Say how much of a take each key sounds: [batch, frames, 3, keys] to [batch, keys]."""

    def call(self, outputs: Any) -> Any:
        """Average the probabilities of sounding over the frames that a take has."""
        sounding = tf.sigmoid(outputs[:, :, 1])
        there = ~tf.math.is_nan(sounding)
        count = tf.maximum(tf.reduce_sum(tf.cast(there, tf.float32), 1), 1.0)
        return tf.reduce_sum(tf.where(there, sounding, 0.0), 1) / count

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, keys]."""
        return (shape[0], shape[3])


MUSIC_TRANSCRIPTION = Task(
    name="music-transcription",
    raw=AUDIO,
    target=NOTES,
    featurizer_settings=ConstantQSettings,
    settings=ModelSettings,
    augmentation_settings=NoteAugmentationSettings,
    build=build,
    objective=TRANSCRIPTION,
    evaluator=MEASURED,
    decode=partial(decoding.notes, step=1.0),
    signatures={"serving_default": decoding.transcribed, "from_samples": decoding.from_samples},
    report=("note metrics", "note takes", "training"),
    rules=NoteRules,
    training=TranscriptionSettings,
)

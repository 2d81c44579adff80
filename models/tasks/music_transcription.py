"""Which notes a piano plays in a recording: when each begins and ends, its key and its loudness."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import keras
import tensorflow as tf
from pydantic import Field, RootModel

from features.errors import ConfigError
from features.settings import Settings
from features.sounds.augmentation.notes import NoteAugmentation, NoteAugmentationSettings
from features.sounds.constant_q import ConstantQ
from features.sounds.featurizer import AudioFeaturizer
from features.sounds.rules import NoteRules
from features.spec import AUDIO
from features.targets.notes import NOTES
from models.evaluation.calibration import note_thresholds
from models.evaluation.measures.notes import NOTES as MEASURED
from models.export.sequences import notes as decoding
from models.network import Network, Phase
from models.networks.sounds import harmonics, takes
from models.networks.sounds.harmonics import BINS_PER_KEY
from models.networks.sounds.notes import TRANSCRIPTION, Thresholds, in_frames
from models.networks.sounds.takes import Listener
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


#: Frames by which windows overlap; half of them are cut from either side.
_OVERLAP = 30


def _hub(blueprint: Blueprint, settings: HubSettings) -> Listener:
    rate = basic_pitch.RATE
    if blueprint.rules.sample_rate != rate:
        raise ConfigError(
            f"the module {settings.backbone} needs sounds of one sample rate",
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
    rate, options = blueprint.rules.sample_rate, blueprint.featurizer
    if rate < ConstantQ.LOWEST_RATE:
        raise ConfigError(
            "the constant-Q spectrogram reaches up to 7,040 Hz",
            got=f"data.sample_rate {rate}",
            expected=f"at least {ConstantQ.LOWEST_RATE}",
            todo="raise data.sample_rate",
        )
    step = options.hop_length / rate
    hop = round(options.seconds / step) + 1 - _OVERLAP
    spectrum = {"hop_length": options.hop_length, "top_db": options.top_db}
    featurizer = AudioFeaturizer(
        rate,
        options.seconds,
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

    Its outputs are [batch, frames, 4, keys]; see `models.networks.sounds.notes`.
    """
    settings = blueprint.model.root
    listener = LISTENERS[settings.kind](blueprint, settings)
    thresholds = Thresholds(name="thresholds")
    parts = takes.joined(listener, thresholds)
    augmentation, of_whole_takes = (
        NoteAugmentation(settings, listener.hop, listener.bins_per_key, listener.step)
        for settings in (blueprint.augmentation, blueprint.augmentation.model_copy(update={"heard": None}))
    )
    phase = Phase(
        "train",
        parts.stage,
        parts.leg,
        augmentation if augmentation.active else None,
        blueprint.epochs,
        place=lambda notes, _: in_frames(tf.constant(notes), listener.step),
    )
    decode = partial(decoding.notes, step=listener.step)
    choice = note_thresholds.Choice(
        answer=tf.function(partial(parts.leg, training=False), reduce_retracing=True, autograph=False),
        decode=lambda outputs: decode(outputs, blueprint.labels),
        step=listener.step,
        change=of_whole_takes if of_whole_takes.active else None,
    )

    def calibrate(batches: Sequence[tuple[Any, Any]]) -> None:
        thresholds.logits.assign([0.0, 0.0, 0.0])
        thresholds.logits.assign(choice.of(batches))

    profile = keras.Model(parts.whole.inputs, Profile()(parts.whole.output))
    return Network(listener.featurizer, parts.whole, profile, (phase,), decode=decode, calibrate=calibrate)


@keras.saving.register_keras_serializable("servable")
class Profile(keras.Layer):
    """Say how much of a take each key sounds: [batch, frames, 4, keys] to [batch, keys]."""

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

"""What is said in a recording: its words, and when each is said."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import keras
from pydantic import Field, model_validator

from features.errors import ConfigError
from features.settings import Settings
from features.sounds.augmentation.frames import FrameAugmentation, FrameAugmentationSettings
from features.sounds.frames import FrameFeaturizer, FrameFeaturizerSettings
from features.sounds.rules import TranscriptRules
from features.spec import AUDIO
from features.targets import transcript
from features.targets.transcript import TRANSCRIPT
from models.evaluation.calibration import decoder_weights
from models.evaluation.measures.transcripts import TRANSCRIPTS
from models.export import signatures
from models.export.sequences import transcripts as writing
from models.export.sequences.beam import Search
from models.export.sequences.transcripts import Writing
from models.network import Network, Phase
from models.networks.assembly import Stage
from models.networks.sounds import acoustic, ctc, ngrams
from models.networks.sounds.ngrams import LanguageModel
from models.networks.windows import MeanVector
from models.task import Blueprint, Task
from models.training.settings import LoopSettings

#: Labels beyond which a vocabulary is no closed one.
_MOST_LABELS = 5000


class ModelSettings(Settings):
    """Convolutions and recurrent layers in both directions, and how their outputs are read."""

    filters: tuple[int, ...] = Field(
        (32, 32, 32),
        min_length=2,
        description="feature maps of each convolution; the first two halve the bands",
    )
    strides: tuple[int, ...] = Field((2, 2, 1), min_length=2, description="stride of each in time")
    dense: int = Field(256, ge=1, description="units of the layer between convolutions and recurrent layers")
    units: tuple[int, ...] = Field(
        (192, 192), min_length=1, description="units of each recurrent layer and direction"
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout rate of the inputs of recurrent layers")
    beam: int = Field(
        16, ge=1, le=256, description="prefixes that the beam search keeps; 1 takes the likeliest labels"
    )
    lm_order: int = Field(
        6, ge=0, le=12, description="labels of an n-gram of the language model; 0 for no language model"
    )
    lm_weight: float | None = Field(
        None, ge=0, le=10, description="weight of the language model; null: the best on the validation split"
    )
    label_bonus: float | None = Field(
        None,
        ge=-10,
        le=10,
        description="what each label adds to the worth of an answer, in nats; null: likewise",
    )
    piece_seconds: float = Field(
        12.0,
        gt=0,
        description="longer sounds are cut where they are quietest, into pieces of at most this length",
    )

    @model_validator(mode="after")
    def _stride_every_convolution(self) -> "ModelSettings":
        if len(self.filters) != len(self.strides):
            raise ValueError("filters and strides must be equally many")
        return self


def _featurizer(blueprint: Blueprint) -> FrameFeaturizer:
    rules = blueprint.rules
    return FrameFeaturizer(rules.sample_rate, rules.max_audio_seconds, blueprint.featurizer.model_dump())


def fit(blueprint: Blueprint, sounds: Iterable[bytes]) -> Mapping[str, Any]:
    """List the labels of the training split, and its transcripts with their counts for the language model.

    Raises:
        ConfigError: too many different words for a closed vocabulary.
    """
    units, frame = blueprint.rules.units, blueprint.frame
    texts = Counter(frame.loc[frame["split"] == "train", "target"])
    alphabet = sorted({label for text in texts for label in transcript.labels(text, units)})
    if len(alphabet) > _MOST_LABELS:
        raise ConfigError(
            "too many different labels",
            got=f"{len(alphabet):,d} {units} in the training transcripts",
            expected=f"at most {_MOST_LABELS:,d}",
            todo="choose data.units=characters",
        )
    alphabet_set = set(alphabet)
    others = frame.loc[frame["split"] != "train", "target"]
    unknown = [
        label for text in others for label in transcript.labels(text, units) if label not in alphabet_set
    ]
    figures = {"alphabet/labels": len(alphabet), "alphabet/unknown_labels": len(unknown)}
    return {"alphabet": alphabet, "transcripts": dict(sorted(texts.items())), "figures": figures}


def _language_model(blueprint: Blueprint, alphabet: tuple[str, ...]) -> LanguageModel | None:
    units, order = blueprint.rules.units, blueprint.model.lm_order
    if not order:
        return None
    numbers = {label: number for number, label in enumerate(alphabet)}
    counted = {
        tuple(numbers[label] for label in transcript.labels(text, units)): count
        for text, count in blueprint.fitted["transcripts"].items()
    }
    return ngrams.fit(counted, len(alphabet), order)


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe.

    Its outputs are [batch, frames, labels + 1]; see `models.networks.sounds.ctc`.

    Raises:
        ConfigError: an output stands for another time than transcripts were held against.
    """
    settings, rules = blueprint.model, blueprint.rules
    alphabet = tuple(blueprint.fitted["alphabet"])
    featurizer = _featurizer(blueprint)
    frames = keras.Input(featurizer.spec.shape, name="features")
    encoder = acoustic.Encoder(
        settings.filters, settings.strides, settings.dense, settings.units, settings.dropout, name="encoder"
    )
    seconds = encoder.stride * featurizer.frame_seconds
    if abs(seconds - rules.frame_seconds) > 1e-6:
        raise ConfigError(
            "the transcripts were checked for another frame length than the network's",
            got=f"data.frame_seconds {rules.frame_seconds:g}",
            expected=f"{seconds:g}, that is {encoder.stride} frames of {featurizer.frame_seconds:g} s",
            todo=f"set data.frame_seconds={seconds:g}",
        )
    vectors = encoder(frames)
    inner = keras.Model(
        frames, acoustic.FrameLogits(len(alphabet) + 1, settings.dropout, name="frame_logits")(vectors)
    )
    space = alphabet.index(" ") if " " in alphabet else len(alphabet)
    longest = round(settings.piece_seconds / featurizer.frame_seconds)
    cutting = acoustic.AtSilence(inner, encoder.stride, longest, space, name="at_silence")
    whole = keras.Model(frames, cutting(frames))
    augmentation = FrameAugmentation(blueprint.augmentation, (space,) if space < len(alphabet) else ())
    leg = Phase(
        "train",
        Stage(featurizer),
        whole,
        augmentation if augmentation.active else None,
        blueprint.epochs,
        place=lambda texts, frame: transcript.place(texts, alphabet, rules.units),
    )
    favour = cutting.favour
    search = Search(settings.beam, _language_model(blueprint, alphabet), favour.value)
    style = Writing(alphabet, rules.units == "words", seconds, search)
    return Network(
        featurizer,
        whole,
        keras.Model(frames, MeanVector()(vectors)),
        (leg,),
        decode=partial(writing.transcripts, writing=style),
        calibrate=partial(
            decoder_weights.choose, whole, favour, style, (settings.lm_weight, settings.label_bonus)
        ),
    )


def _no_decoding(outputs: Any, names: tuple[str, ...]) -> dict[str, Any]:
    raise NotImplementedError("each network has an alphabet of its own")


SPEECH_RECOGNITION = Task(
    name="speech-recognition",
    raw=AUDIO,
    target=TRANSCRIPT,
    featurizer_settings=FrameFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=FrameAugmentationSettings,
    build=build,
    objective=ctc.CTC,
    evaluator=TRANSCRIPTS,
    decode=_no_decoding,
    signatures={
        "serving_default": signatures.from_raw,
        "embed": signatures.embed,
        "from_samples": writing.from_samples,
    },
    report=("speech metrics", "worst transcripts", "training", "kernels"),
    fit=fit,
    rules=TranscriptRules,
    training=LoopSettings,
)

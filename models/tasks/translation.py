"""What a sentence is in another language."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, RootModel, model_validator

from features.settings import Settings
from features.spec import TEXT
from features.targets.sentence import SENTENCE
from features.texts import pieces
from features.texts.pieces import FIRST
from features.texts.rules import PairRules
from features.texts.subwords import Subwords, numbered
from models.evaluation.calibration import length_penalty
from models.evaluation.measures.translations import TRANSLATIONS
from models.export import decoding, signatures
from models.export.sequences import translations
from models.network import Network
from models.networks.texts import translation
from models.networks.texts.recurrent_writer import RecurrentWriter
from models.networks.texts.transformer import Transformer
from models.networks.texts.translation import TRANSLATION as OBJECTIVE
from models.networks.texts.writer import Writer
from models.task import Blueprint, NoAugmentation, Task
from models.training.settings import TranslationSettings


class SubwordSettings(Settings):
    """Which sub-words there are, and how many of a text are read."""

    vocabulary: int = Field(
        4000,
        ge=FIRST + 8,
        le=64_000,
        description="number of sub-words of both languages, 256 bytes among them",
    )
    coverage: float = Field(
        0.9998,
        ge=pieces.LEAST_COVERAGE,
        le=1,
        description="share of all characters that have a sub-word; rarer ones are coded by bytes",
    )
    max_tokens: int = Field(
        160, ge=1, le=4096, description="maximum sub-words of a text; longer ones are truncated"
    )


class SearchSettings(Settings):
    """How answers are looked for, and the size of any network."""

    beams: int = Field(4, ge=1, le=64, description="width of the beam; 1 is the greedy search")
    length_penalty: float | None = Field(
        None,
        ge=0,
        le=5,
        description="exponent of the length that scores are divided by; 0 prefers short answers, "
        "null takes the one with the best validation metrics",
    )
    growth: float = Field(
        3.0, gt=0, le=50, description="maximum sub-words of an answer for each one of the source, beside 10"
    )
    width: int = Field(192, ge=2, le=4096, description="size of the vectors")
    encoder: int = Field(3, ge=1, le=24, description="layers over the source")
    decoder: int = Field(2, ge=1, le=24, description="layers over the target")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate")

    def sizes(self) -> dict[str, Any]:
        """Return the arguments of the network."""
        return self.model_dump(exclude={"kind", "beams", "length_penalty", "growth"})


class TransformerSettings(SearchSettings):
    """A Transformer (Vaswani and others 2017) with normalisation before its parts."""

    kind: Literal["transformer"] = Field(description="attention alone")
    heads: int = Field(4, ge=1, le=64, description="heads of an attention")
    inner: int = Field(768, ge=1, le=16_384, description="units of the dense layers between")

    @model_validator(mode="after")
    def _divide_evenly(self) -> "TransformerSettings":
        if self.width % (2 * self.heads):
            raise ValueError("width must be a multiple of twice the heads")
        return self


class GruSettings(SearchSettings):
    """Recurrent encoder and decoder with attention."""

    kind: Literal["gru"] = Field(description="gated recurrent units, and attention over the source")


class ModelSettings(RootModel[Annotated[TransformerSettings | GruSettings, Field(discriminator="kind")]]):
    """The model section: its ``kind`` says which of the two it is."""


NETWORKS: Mapping[str, type[Writer]] = {"transformer": Transformer, "gru": RecurrentWriter}


def fit(blueprint: Blueprint, texts: Iterable[bytes]) -> Mapping[str, Any]:
    """Choose the sub-words of both languages from the training split, and measure how texts are coded.

    Raises:
        DataError: the texts are too few.
    """
    options, frame = blueprint.featurizer, blueprint.frame
    targets = list(frame.loc[frame["split"] == "train", "target"])
    sources = [text.decode() for text in texts]
    # A source with several targets counts once.
    both = [*dict.fromkeys(sources), *targets]
    vocabulary, scores = pieces.fit(both, options.vocabulary, options.coverage)
    lengths = {
        name: np.array([len(ids) - 1 for ids in numbered(Subwords(vocabulary, scores, 1 << 20), own)])
        for name, own in (("source", sources), ("target", targets))
    }
    figures: dict[str, float] = {"train/vocabulary": FIRST + len(vocabulary)}
    for name, counts in lengths.items():
        figures[f"train/{name}_tokens"] = float(counts.mean())
        figures[f"train/{name}_truncated_share"] = float((counts > options.max_tokens).mean())
    return {"pieces": vocabulary, "scores": scores, "figures": figures}


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe."""
    settings = blueprint.model.root
    fitted = blueprint.fitted
    featurizer = Subwords(fitted["pieces"], fitted["scores"], blueprint.featurizer.max_tokens)
    writer = NETWORKS[settings.kind](featurizer.size, name="writer", **settings.sizes())
    network = translation.network(featurizer, writer, settings.beams, settings.growth, blueprint.epochs)
    return replace(
        network, calibrate=partial(length_penalty.choose, network, writer, settings.length_penalty)
    )


TRANSLATION = Task(
    name="translation",
    raw=TEXT,
    target=SENTENCE,
    featurizer_settings=SubwordSettings,
    settings=ModelSettings,
    augmentation_settings=NoAugmentation,
    build=build,
    objective=OBJECTIVE,
    evaluator=TRANSLATIONS,
    decode=decoding.sentences,
    signatures={
        "serving_default": translations.translate(),
        "greedy": translations.translate(beams=1),
        "attention": translations.attention,
        "embed": signatures.embed,
    },
    report=("translation metrics", "attention maps", "worst translations", "training"),
    fit=fit,
    rules=PairRules,
    training=TranslationSettings,
)

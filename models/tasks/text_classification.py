"""Which of several classes a text belongs to."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import keras
import numpy as np
from pydantic import Field, RootModel

from features import counts as features_counts
from features.errors import ConfigError, DataError
from features.spec import TEXT
from features.targets.classes import CLASS
from features.texts import tokenizer
from features.texts.featurizer import TextFeaturizer, TextFeaturizerSettings
from features.texts.rules import TextRules
from features.texts.tokenizer import Tokenizer
from models.evaluation.measures.classification import CLASSES
from models.explain import token_occlusion
from models.export import decoding, signatures
from models.network import Backbone, Network
from models.networks import assembly, blend
from models.networks.texts import naive_bayes, rnn, sequences, text_cnn
from models.networks.texts.sequences import VectorSettings
from models.objective import CLASSIFICATION
from models.pretrained import word_vectors as vectors
from models.task import Blueprint, NoAugmentation, Task

Shape = tuple[int | None, ...]


#: Largest number of texts that n-grams are counted in.
MOST_TEXTS = 50_000


class CnnSettings(VectorSettings):
    """The sentence CNN of Kim 2014."""

    kind: Literal["cnn"] = Field(description="convolutions and 1-max pooling")
    regions: tuple[int, ...] = Field((3, 4, 5), min_length=1, description="words under a kernel, by group")
    maps: int = Field(100, ge=1, le=4096, description="feature maps of each group")
    activation: Literal["relu", "tanh"] = Field("relu", description="of the convolutions")
    max_norm: float | None = Field(
        3.0, gt=0, description="largest L2 norm of a class's weights; null for none"
    )
    word_dropout: float = Field(0.0, ge=0, lt=1, description="share of a vector's features dropped")


class RnnSettings(VectorSettings):
    """A recurrent network over the tokens."""

    kind: Literal["rnn"] = Field(description="recurrent over the tokens")
    cell: Literal["gru", "lstm", "simple-rnn"] = Field("gru", description="type of recurrent cell")
    units: tuple[int, ...] = Field((128,), min_length=1, description="units per layer and direction")
    bidirectional: bool = Field(True, description="whether layers also read the sequence backwards")
    pooling: Literal["last", "mean", "max"] = Field("max", description="how the states are pooled")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="share of a layer's inputs dropped")
    recurrent_dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate of the states")


class ModelSettings(RootModel[Annotated[CnnSettings | RnnSettings, Field(discriminator="kind")]]):
    """The model section: its ``kind`` says which of the two it is."""


def fit(blueprint: Blueprint, texts: Iterable[bytes]) -> Mapping[str, Any]:
    """Choose the vocabulary from the training split, and measure what it and the length policy leave out.

    With ``model.wide``, n-grams are counted as well.

    Raises:
        DataError: no token is frequent enough.
    """
    options = blueprint.featurizer
    sample = _Sample(blueprint, texts)
    counts, lengths = tokenizer.count(Tokenizer(options.tokens, options.lowercase), sample)
    vocabulary = features_counts.choose(counts, options.min_count, options.max_vocabulary)
    if not vocabulary:
        raise DataError(
            "no token of the training split is in the vocabulary",
            got=f"{len(counts):,} different tokens, none {options.min_count} times or more",
            expected="at least one",
            todo="lower featurizer.min_count",
        )
    total = max(1, sum(lengths))
    covered = sum(counts[token] for token in vocabulary)
    cut = sum(length > options.max_tokens for length in lengths) if options.max_tokens else 0
    figures = {
        "train/vocabulary": len(vocabulary),
        "train/unknown_share": 1 - covered / total,
        "train/truncated_share": cut / max(1, len(lengths)),
    }
    return {"vocabulary": vocabulary, "figures": figures, **sample.counted(vocabulary)}


class _Sample:
    """Texts of the training split as they pass by; those whose n-grams are counted are kept."""

    def __init__(self, blueprint: Blueprint, texts: Iterable[bytes]) -> None:
        self.blueprint, self.texts = blueprint, texts
        self.most = blueprint.model.root.wide
        self.kept: list[bytes] = []
        self.classes: Any = ()
        if self.most:
            frame = blueprint.frame[blueprint.frame["split"] == "train"]
            # Every so many: examples may be in the order of their classes.
            self.every = max(1, -(-len(frame) // MOST_TEXTS))
            self.classes = CLASS.encode(frame.iloc[:: self.every])

    def __iter__(self) -> Iterator[bytes]:
        for number, text in enumerate(self.texts):
            if self.most and number % self.every == 0:
                self.kept.append(text)
            yield text

    def counted(self, vocabulary: list[str]) -> dict[str, Any]:
        """Count the n-grams of the texts that were kept; nothing where none are asked for."""
        if not self.most:
            return {}
        options = self.blueprint.featurizer
        # Without pieces, which n-grams do not need.
        limits = (options.max_tokens, options.keep)
        featurizer = TextFeaturizer(vocabulary, options.tokens, options.lowercase, *limits)
        ids = naive_bayes.batched(self.kept, featurizer)
        labels = len(self.blueprint.labels)
        counts = naive_bayes.count(ids, self.classes, labels, featurizer.unknown, self.most)
        return {"naive_bayes": counts}


def _featurizer(blueprint: Blueprint, vocabulary: list[str]) -> TextFeaturizer:
    options = blueprint.featurizer
    if options.subwords and options.tokens == "characters":
        raise ConfigError(
            "a token of one character has no subwords",
            got=f"featurizer.tokens=characters, featurizer.subwords={options.subwords}",
            expected="tokens of words or blanks",
            todo="set featurizer.subwords=0",
        )
    limits = (options.max_tokens, options.keep, options.subwords)
    return TextFeaturizer(vocabulary, options.tokens, options.lowercase, *limits)


def _lookups(
    blueprint: Blueprint, settings: VectorSettings, featurizer: TextFeaturizer
) -> tuple[keras.layers.Layer, ...]:
    if settings.vectors is None:
        return sequences.channels(
            featurizer.size,
            settings.width,
            settings.channels,
            subwords=featurizer.subwords,
            spread=settings.spread,
        )
    pretrained_vectors = vectors.load(settings.vectors, featurizer.vocabulary, blueprint)
    matrix = vectors.matrix(pretrained_vectors, featurizer.size, np.random.default_rng(0))
    return sequences.channels(
        featurizer.size, matrix.shape[1], settings.channels, matrix, featurizer.subwords
    )


def _cnn(shape: Shape, lookups: tuple[keras.layers.Layer, ...], settings: CnnSettings) -> keras.Model:
    sizes = settings.model_dump(include={"regions", "maps", "activation", "word_dropout"})
    return text_cnn.convolutions(shape, lookups, **sizes)


def _rnn(shape: Shape, lookups: tuple[keras.layers.Layer, ...], settings: RnnSettings) -> keras.Model:
    ids = keras.Input(shape, dtype="int32", name="ids")
    embedded = sequences.looked_up(ids, lookups)
    sizes = settings.model_dump(include={"cell", "units", "bidirectional", "pooling", "recurrent_dropout"})
    network = rnn.recurrent(tuple(embedded.shape[1:]), dropout=settings.input_dropout, masked=True, **sizes)
    return keras.Model(ids, network([embedded, sequences.Present()(ids)]), name="text_rnn")


def _forgetful(body: keras.Model, share: float, unknown: int) -> keras.Model:
    if not share:
        return body
    ids = keras.Input(body.input_shape[1:], dtype="int32", name="all_ids")
    return keras.Model(ids, body(sequences.Forget(share, unknown)(ids)), name="forgetful")


NETWORKS: dict[str, Callable[..., keras.Model]] = {"cnn": _cnn, "rnn": _rnn}


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe."""
    settings = blueprint.model.root
    featurizer = _featurizer(blueprint, blueprint.fitted["vocabulary"])
    lookups = _lookups(blueprint, settings, featurizer)
    body = NETWORKS[settings.kind](featurizer.spec.shape, lookups, settings)
    body = _forgetful(body, settings.token_dropout, featurizer.unknown)
    backbone = Backbone(featurizer, body, body.output_shape[-1])
    limit = getattr(settings, "max_norm", None)
    head = assembly.Head(len(blueprint.labels), dropout=settings.dropout, max_norm=limit)
    network = assembly.network(backbone, head, assembly.Schedule(blueprint.epochs))
    counted = blueprint.fitted.get("naive_bayes")
    if not counted or not counted["ngrams"]:
        return network
    sizes = (len(counted["ngrams"]), len(blueprint.labels), featurizer.unknown)
    return blend.beside(network, naive_bayes.NaiveBayes(*sizes, counted))


TEXT_CLASSIFICATION = Task(
    name="text-classification",
    raw=TEXT,
    featurizer_settings=TextFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=NoAugmentation,
    build=build,
    objective=CLASSIFICATION,
    evaluator=CLASSES,
    decode=decoding.classes,
    signatures={
        "serving_default": signatures.of_texts,
        "embed": signatures.embed,
        "explain": token_occlusion.explain,
    },
    report=("metrics", "classes", "text mistakes", "texts", "calibration", "training"),
    fit=fit,
    rules=TextRules,
)

"""Vectors of words, learnt from running text or taken from elsewhere."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import keras
from pydantic import Field, RootModel

from features import counts as features_counts
from features.errors import DataError
from features.ingest.rules import CorpusRules
from features.settings import Settings
from features.spec import WORD
from features.texts import tokenizer as texts_tokenizer
from features.texts import words
from features.texts.words import WordFeaturizerSettings, WordLookup, WordTokenizer
from models.export import decoding
from models.network import Network
from models.objective import Measure
from models.pretrained import word_vectors as vectors
from models.task import Blueprint, NoAugmentation, Task
from models.words import signatures
from models.words.word2vec import Word2VecSettings, WordTrainingSettings
from models.words.word_space import WordSpace


class GivenSettings(Settings):
    """Vectors from elsewhere, for the words of the corpus."""

    kind: Literal["given"] = Field(description="taken over from elsewhere")
    vectors: str = Field(description="a word-vectors release, a vectors file or a hub text module")


class ModelSettings(RootModel[Annotated[Word2VecSettings | GivenSettings, Field(discriminator="kind")]]):
    """The model section: its ``kind`` says which of the two it is."""


def tokenizer(blueprint: Blueprint) -> WordTokenizer:
    """Make what cuts the corpus into words."""
    options = blueprint.featurizer
    return WordTokenizer(options.tokens, options.lowercase, options.signs)


def fit(blueprint: Blueprint, texts: Iterable[bytes]) -> Mapping[str, Any]:
    """Choose the vocabulary and count its words; given vectors decide with what they know.

    Raises:
        DataError: no word is frequent enough, or the given vectors know none.
    """
    options = blueprint.featurizer
    counts = texts_tokenizer.totals(words.cut(tokenizer(blueprint), texts))
    vocabulary = features_counts.choose(counts, options.min_count, options.max_vocabulary)
    if not vocabulary:
        most = max(counts.values(), default=0)
        raise DataError(
            f"no word occurs as often as featurizer.min_count={options.min_count}",
            got=f"{len(counts):,} different words, the most frequent {most} times",
            expected="at least one frequent word",
            todo="lower featurizer.min_count, or give more text",
        )
    if blueprint.model.root.kind == "given":
        vocabulary = vectors.known(blueprint.model.root.vectors, vocabulary, blueprint)
    total = counts.total()
    figures = {
        "train/vocabulary": len(vocabulary),
        "train/tokens": total,
        "train/unknown_share": 1 - sum(counts[word] for word in vocabulary) / total,
    }
    return {
        "vocabulary": vocabulary,
        "counts": [counts[word] for word in vocabulary],
        "tokens": total,
        "figures": figures,
    }


def build(blueprint: Blueprint) -> Network:
    """Make the empty table of vectors, and fill it where they are given."""
    settings, vocabulary = blueprint.model.root, blueprint.fitted["vocabulary"]
    pretrained = vectors.load(settings.vectors, vocabulary, blueprint) if settings.kind == "given" else None
    space = WordSpace(len(vocabulary), settings.dimensions if pretrained is None else pretrained.shape[1])
    if pretrained is not None:
        space.fill(pretrained)
    ids = keras.Input((), dtype="int32", name="ids")
    table = keras.Model(ids, space(ids), name="word_vectors")
    return Network(WordLookup(vocabulary, blueprint.featurizer.lowercase), table, table, ())


WORD_VECTORS = Task(
    name="word-vectors",
    raw=WORD,
    featurizer_settings=WordFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=NoAugmentation,
    build=build,
    objective=Measure(report="eval/wordsim353_spearman", higher_is_better=True, anywhere=True),
    decode=decoding.vectors,
    signatures={
        "serving_default": signatures.usual_neighbours,
        "most_similar": signatures.most_similar,
        "analogy": signatures.analogy,
        "similarity": signatures.similarity,
        "doesnt_match": signatures.doesnt_match,
        "embed": signatures.embed,
    },
    report=("word tests", "word neighbours", "word map", "word training"),
    fit=fit,
    rules=CorpusRules,
    training=WordTrainingSettings,
)

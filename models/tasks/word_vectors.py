"""Vectors of words, learnt from running text or taken from elsewhere."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import keras
from pydantic import Field, RootModel

from features.texts import featurizer, words
from features.errors import DataError
from features.ingest.rules import CorpusRules
from features.settings import Settings
from features.spec import WORD
from features.texts.words import WordLookup, WordTokenizer
from models.export import decoding
from models.pretrained import word_vectors as vectors
from models.words import signatures
from models.objective import Measure
from models.task import Blueprint, Network, NoAugmentation, Task
from models.words.word_space import WordSpace


class WordFeaturizerSettings(Settings):
    """What a word is, and which are known."""

    tokens: Literal["words", "blanks"] = Field(
        "words", description="words parts words and signs, blanks cuts at blanks alone"
    )
    lowercase: bool = Field(True, description="whether capitals are made small")
    signs: Literal["drop", "keep"] = Field(
        "drop", description="what becomes of tokens without a letter or digit"
    )
    wrapped: int | None = Field(
        None,
        ge=1,
        description="characters of the longest line that runs on into the next, as in a book; null for none",
    )
    min_count: int = Field(5, ge=1, description="times a word must occur to have a vector")
    max_vocabulary: int | None = Field(None, ge=1, description="most words; null for all")


class Word2VecSettings(Settings):
    """word2vec; the names are gensim's where it has one."""

    kind: Literal["word2vec"] = Field(description="learnt from the corpus by word2vec")
    architecture: Literal["skip-gram", "cbow"] = Field(
        "skip-gram", description="skip-gram predicts neighbours from a word, cbow a word from its neighbours"
    )
    dimensions: int = Field(300, ge=1, le=4096, description="of a vector")
    window: int = Field(10, ge=1, le=1000, description="words looked at on either side")
    shrink_windows: bool = Field(True, description="whether each window is of random size up to that")
    negative: int = Field(10, ge=1, le=1000, description="random words that each pair is told from")
    ns_exponent: float = Field(0.75, description="of the frequencies that random words are drawn by")
    hierarchical_softmax: bool = Field(False, description="a Huffman tree in place of random words")
    sample: float = Field(
        1e-4, ge=0, le=1, description="share of the corpus above which a word's occurrences are thinned out"
    )
    cbow_mean: bool = Field(True, description="whether cbow takes the mean of the neighbours, or their sum")
    common_components: int | None = Field(
        None,
        ge=0,
        description="principal components that the vectors lose in the end, with their mean; null for none",
    )
    singular_power: float = Field(
        1.0, gt=0, le=4, description="that the vectors' singular values are raised to in the end; 1 for none"
    )


class GivenSettings(Settings):
    """Vectors from elsewhere, for the words of the corpus."""

    kind: Literal["given"] = Field(description="taken over from elsewhere")
    vectors: str = Field(description="a word-vectors release, a vectors file or a hub text module")


class ModelSettings(RootModel[Annotated[Word2VecSettings | GivenSettings, Field(discriminator="kind")]]):
    """The model section: its ``kind`` says which of the two it is."""


class WordTrainingSettings(Settings):
    """How word vectors are trained."""

    epochs: int = Field(30, ge=1, description="passes over the corpus")
    learning_rate: float = Field(0.025, gt=0, description="at the beginning; falls in a straight line")
    final_learning_rate: float = Field(1e-4, gt=0, description="at the end")
    workers: int = Field(1, ge=1, le=256, description="threads; more than one where reproducible is false")
    reproducible: bool = Field(
        True, description="whether the same seed gives the same vectors: threads, racing each other, do not"
    )


def tokenizer(blueprint: Blueprint) -> WordTokenizer:
    """Make what cuts the corpus into words."""
    wanted = blueprint.featurizer
    return WordTokenizer(wanted.tokens, wanted.lowercase, wanted.signs)


def fit(blueprint: Blueprint, texts: Iterable[bytes]) -> Mapping[str, Any]:
    """Choose the vocabulary and count its words; given vectors decide with what they know.

    Raises:
        DataError: no word is frequent enough, or the given vectors know none.
    """
    wanted = blueprint.featurizer
    counts = featurizer.totals(words.cut(tokenizer(blueprint), texts))
    known = featurizer.choose(counts, wanted.min_count, wanted.max_vocabulary)
    if not known:
        most = max(counts.values(), default=0)
        raise DataError(
            f"no word reaches featurizer.min_count={wanted.min_count}",
            got=f"{len(counts):,} different words, the most frequent {most} times",
            expected="at least one frequent word",
            todo="lower featurizer.min_count, or give more text",
        )
    if blueprint.model.root.kind == "given":
        known = vectors.known(blueprint.model.root.vectors, known, blueprint)
    total = counts.total()
    figures = {
        "train/vocabulary": len(known),
        "train/tokens": total,
        "train/unknown_share": 1 - sum(counts[word] for word in known) / total,
    }
    return {
        "vocabulary": known,
        "counts": [counts[word] for word in known],
        "tokens": total,
        "figures": figures,
    }


def build(blueprint: Blueprint) -> Network:
    """Make the empty table of vectors, and fill it where they are given."""
    settings, known = blueprint.model.root, blueprint.fitted["vocabulary"]
    given = vectors.load(settings.vectors, known, blueprint) if settings.kind == "given" else None
    space = WordSpace(len(known), settings.dimensions if given is None else given.shape[1])
    if given is not None:
        space.fill(given)
    ids = keras.Input((), dtype="int32", name="ids")
    table = keras.Model(ids, space(ids), name="word_vectors")
    return Network(WordLookup(known, blueprint.featurizer.lowercase), table, table, ())


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
    report=("words",),
    fit=fit,
    rules=CorpusRules,
    training=WordTrainingSettings,
)

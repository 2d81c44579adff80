"""The docs name every key of a recipe with its default, range and meaning, as the code has them."""

import types
import typing
from pathlib import Path

import annotated_types
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from features.images.augmentation import (
    AugmentationSettings,
    BoxAugmentationSettings,
    NumberAugmentationSettings,
    PointAugmentationSettings,
)
from features.images.featurizer import ImageFeaturizerSettings
from features.images.rules import GalleryRules
from features.ingest.rules import BoxRules, CorpusRules, IngestRules, PointRules
from features.rows import featurizer
from features.rows.rules import RowRules
from features.sounds import featurizer as sounds_featurizer
from features.sounds.augmentation.frames import FrameAugmentationSettings
from features.sounds.augmentation.notes import NoteAugmentationSettings
from features.sounds.augmentation.windows import AudioAugmentationSettings
from features.sounds.frames import FrameFeaturizerSettings
from features.sounds.rules import AudioRules, NoteRules, TranscriptRules
from features.texts import featurizer as texts_featurizer
from features.texts import words as texts_words
from features.texts.rules import PairRules, TextRules
from flows.runs.plans.recipe import CanarySettings, GateSettings
from models.networks.images.cnn import CnnSettings
from models.networks.texts import rnn
from models.pretrained import audio_hub
from models.pretrained.applications import HubSettings, KerasSettings
from models.tasks import (
    audio_classification,
    keypoint_detection,
    music_transcription,
    object_detection,
    speech_recognition,
    tabular_classification,
    text_classification,
    translation,
    word_vectors,
)
from models.tasks.image_clustering import ClusteringSettings
from models.tasks.image_search import SearchSettings
from models.training.settings import (
    DetectionSettings,
    KeypointSettings,
    RegressionSettings,
    TrainingSettings,
    TranscriptionSettings,
    TranslationSettings,
)
from models.words import word2vec

DOCS = Path(__file__).resolve().parents[2] / "docs"
#: Page and heading to the settings below it.
SECTIONS: dict[tuple[str, str], type[BaseModel]] = {
    ("training", "data"): IngestRules,
    ("training", "featurizer"): ImageFeaturizerSettings,
    ("training", "model (kind: hub)"): HubSettings,
    ("training", "model (kind: keras)"): KerasSettings,
    ("training", "model (kind: cnn)"): CnnSettings,
    ("training", "augmentation"): AugmentationSettings,
    ("training", "training"): TrainingSettings,
    ("training", "gate"): GateSettings,
    ("training", "canary"): CanarySettings,
    ("sounds", "data"): AudioRules,
    ("sounds", "featurizer"): sounds_featurizer.AudioFeaturizerSettings,
    ("sounds", "model (kind: cnn)"): audio_classification.CnnSettings,
    ("sounds", "model (kind: rnn)"): rnn.RnnSettings,
    ("sounds", "model (kind: hub)"): audio_hub.HubSettings,
    ("sounds", "augmentation"): AudioAugmentationSettings,
    ("speech", "data"): TranscriptRules,
    ("speech", "featurizer"): FrameFeaturizerSettings,
    ("speech", "model"): speech_recognition.ModelSettings,
    ("speech", "augmentation"): FrameAugmentationSettings,
    ("music", "data"): NoteRules,
    ("music", "featurizer"): music_transcription.ConstantQSettings,
    ("music", "model (kind: hub)"): music_transcription.HubSettings,
    ("music", "model (kind: cnn)"): music_transcription.ScratchSettings,
    ("music", "augmentation"): NoteAugmentationSettings,
    ("music", "training"): TranscriptionSettings,
    ("text", "data"): TextRules,
    ("text", "featurizer"): texts_featurizer.TextFeaturizerSettings,
    ("text", "model (kind: cnn)"): text_classification.CnnSettings,
    ("text", "model (kind: rnn)"): text_classification.RnnSettings,
    ("regression", "augmentation (image-regression)"): NumberAugmentationSettings,
    ("regression", "training (regression)"): RegressionSettings,
    ("keypoints", "data"): PointRules,
    ("keypoints", "model (kind: keras)"): keypoint_detection.PretrainedSettings,
    ("keypoints", "model (kind: cnn)"): keypoint_detection.ScratchSettings,
    ("keypoints", "augmentation"): PointAugmentationSettings,
    ("keypoints", "training"): KeypointSettings,
    ("detection", "data"): BoxRules,
    ("detection", "model (kind: keras)"): object_detection.PretrainedSettings,
    ("detection", "model (kind: cnn)"): object_detection.ScratchSettings,
    ("detection", "augmentation"): BoxAugmentationSettings,
    ("detection", "training"): DetectionSettings,
    ("translation", "data"): PairRules,
    ("translation", "featurizer"): translation.SubwordSettings,
    ("translation", "model (kind: transformer)"): translation.TransformerSettings,
    ("translation", "model (kind: gru)"): translation.GruSettings,
    ("translation", "training"): TranslationSettings,
    ("tabular", "data"): RowRules,
    ("tabular", "featurizer"): featurizer.RowFeaturizerSettings,
    ("tabular", "model"): tabular_classification.ModelSettings,
    ("words", "data"): CorpusRules,
    ("words", "featurizer"): texts_words.WordFeaturizerSettings,
    ("words", "model (kind: word2vec)"): word2vec.Word2VecSettings,
    ("words", "model (kind: given)"): word_vectors.GivenSettings,
    ("words", "training"): word2vec.WordTrainingSettings,
    ("search", "data"): GalleryRules,
    ("search", "model (image-search)"): SearchSettings,
    ("search", "model (image-clustering)"): ClusteringSettings,
}
_SIGNS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def kind_of(annotation) -> str:
    """Describe which values a field takes."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return f"{kind_of(parts[0])}{bounds_of(parts[1].metadata)},"
    if origin is typing.Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if part is type(None) else kind_of(part) for part in parts)
    if origin is tuple:
        word, *rest = kind_of(parts[0]).split(" ", 1)
        return " ".join(["list" if parts[-1] is Ellipsis else "pair", "of", f"{word}s", *rest])
    if origin is dict:
        return "mapping"
    return {int: "integer", float: "number", bool: "true or false", str: "text"}[annotation]


def bounds_of(metadata) -> str:
    """Describe how far a field's values go."""
    words = []
    for constraint in metadata:
        for name, sign in _SIGNS.items():
            if (bound := getattr(constraint, name, None)) is not None:
                words.append(f"{sign} {bound:,}" if bound < 1e6 or bound % 1e6 == 0 else f"{sign} {bound}")
        if isinstance(constraint, annotated_types.MinLen):
            words.append(f"{constraint.min_length} or more")
    return "".join(f", {word}" for word in words)


def shown(field) -> str:
    if field.default_factory is not None:
        return "none"
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, tuple):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), f"`{value}`")


def rows(settings: type[BaseModel]) -> list[str]:
    """Make the table row of each key of a section."""
    return [
        f"| `{name}` | {shown(field)} | {kind_of(field.annotation)}{bounds_of(field.metadata)} "
        f"| {field.description or ''} |"
        for name, field in settings.model_fields.items()
    ]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_stands_in_its_sections_table(section):
    page, heading = section
    text = (DOCS / f"{page}.md").read_text()
    assert f"### {heading}\n" in text
    table = text.partition(f"### {heading}\n")[2].partition("\n#")[0]
    # A page on one raw kind leaves out what all have in common.
    fields = SECTIONS[section].model_fields
    own = [name for name in fields if page == "training" or name not in IngestRules.model_fields]
    wanted = [row for row in rows(SECTIONS[section]) if row.split("`")[1] in own]
    missing = [row for row in wanted if row not in table.splitlines()]
    assert not missing, f"docs/{page}.md lacks:\n" + "\n".join(missing)
    named = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert named == own


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_says_what_it_means(section):
    assert [name for name, field in SECTIONS[section].model_fields.items() if not field.description] == []

"""Which photos of a collection look like a given one."""

from typing import Any, Literal

from pydantic import Field

from features.images.featurizer import ImageFeaturizerSettings
from features.images.rules import GalleryRules
from features.spec import IMAGE
from models.export import decoding, signatures
from models.network import Network
from models.objective import Measure
from models.search import image_embedding, vector_index
from models.search import signatures as gallery_answers
from models.search.clusters import Clusters
from models.search.image_embedding import EmbeddingSettings
from models.task import Blueprint, NoAugmentation, NoTraining, Task


class SearchSettings(EmbeddingSettings):
    """Where the vectors come from, and how they are searched."""

    indexed: Literal["all", "train"] = Field(
        "all", description="index all photos, or only those of the training split"
    )
    projection: Literal["none", "labels"] = Field(
        "none",
        description="labels: vectors are projected so that photos of one class lie together",
    )
    approximate_above: int = Field(
        100_000, ge=1, description="number of photos above which inverted lists are used"
    )
    probes: int = Field(16, ge=1, description="lists looked into, of about the root of the photos' number")
    clusters: int = Field(10, ge=1, le=1000, description="groups, at most, that cluster tells photos into")
    near_duplicate: float = Field(
        0.97, gt=0, le=1, description="cosine from which two photos are reported as near duplicates"
    )


def indexed(settings: Any, frame: Any) -> Any:
    """Return the rows of a manifest that are searched."""
    return frame if settings.indexed == "all" else frame[frame["split"] == "train"]


def build(blueprint: Blueprint) -> Network:
    """Make the network with an empty index of the manifest's photos."""
    settings = blueprint.model
    rows = indexed(settings, blueprint.frame)
    parted = len(rows) > settings.approximate_above
    cells = vector_index.cell_count(len(rows)) if parted else 0
    groups = min(settings.clusters, rows["sha256"].nunique())
    return image_embedding.network(
        blueprint,
        rows,
        lambda width: Clusters(groups, width),
        projected=settings.projection == "labels" and len(blueprint.labels) > 1,
        cells=cells,
        probes=settings.probes,
    )


IMAGE_SEARCH = Task(
    name="image-search",
    raw=IMAGE,
    featurizer_settings=ImageFeaturizerSettings,
    settings=SearchSettings,
    augmentation_settings=NoAugmentation,
    build=build,
    objective=Measure(report="eval/precision_at_10", higher_is_better=True, repeatable=False),
    decode=decoding.vectors,
    signatures={
        "serving_default": gallery_answers.usual_search,
        "search": gallery_answers.search,
        "cluster": gallery_answers.cluster,
        "embed": signatures.embed,
        "thumbnail": gallery_answers.thumbnail,
    },
    report=("gallery metrics", "search"),
    rules=GalleryRules,
    training=NoTraining,
)

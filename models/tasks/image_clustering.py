"""Which groups the photos of a collection fall into."""

from pydantic import Field

from features.images.featurizer import ImageFeaturizerSettings
from features.images.rules import GalleryRules
from features.spec import IMAGE
from models.export import decoding, signatures
from models.network import Network
from models.objective import Measure
from models.search import image_embedding
from models.search import signatures as gallery_answers
from models.search.clusters import Clusters
from models.search.image_embedding import EmbeddingSettings
from models.task import Blueprint, NoAugmentation, NoTraining, Task


class ClusteringSettings(EmbeddingSettings):
    """Where the vectors come from, and how many groups are made of them."""

    k: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="number of clusters; null: choose the number with the highest silhouette score",
    )
    most_groups: int = Field(10, ge=2, le=100, description="numbers of clusters to try if k is null")


def build(blueprint: Blueprint) -> Network:
    """Make the network with an empty gallery; its clusters have no centres yet."""
    groups = blueprint.model.k or blueprint.model.most_groups
    return image_embedding.network(blueprint, blueprint.frame, lambda width: Clusters(groups, width))


IMAGE_CLUSTERING = Task(
    name="image-clustering",
    raw=IMAGE,
    featurizer_settings=ImageFeaturizerSettings,
    settings=ClusteringSettings,
    augmentation_settings=NoAugmentation,
    build=build,
    objective=Measure(report="eval/ari_embeddings", higher_is_better=True, repeatable=False),
    decode=decoding.vectors,
    signatures={
        "serving_default": gallery_answers.cluster,
        "cluster": gallery_answers.cluster,
        "search": gallery_answers.search,
        "embed": signatures.embed,
        "thumbnail": gallery_answers.thumbnail,
    },
    report=("gallery metrics", "clusters"),
    rules=GalleryRules,
    training=NoTraining,
)

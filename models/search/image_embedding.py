"""From images to vectors with a network that is trained already: a hub module or a published model."""

from collections.abc import Callable
from typing import Any

import keras
from pydantic import Field

from features.images.featurizer import ImageFeaturizer, image_featurizer
from features.settings import Settings
from features.spec import IMAGE
from models.network import Network, Phase
from models.networks import assembly
from models.pretrained.applications import DEFAULT_MODULE
from models.pretrained.hub import HubLayer
from models.pretrained.release import ReleaseEmbedding
from models.search.gallery import Gallery
from models.search.projection import Projection
from models.task import Blueprint

#: What a backbone's name begins with where it is a published model's.
RELEASE = "release:"


class EmbeddingSettings(Settings):
    """Where the vectors come from."""

    backbone: str = Field(
        DEFAULT_MODULE,
        description="tfhub.dev or Kaggle handle, a module's folder, or release:NAME, a published image model",
    )


def embedder(blueprint: Blueprint) -> tuple[Any, Any, int]:
    """Return the featurizer, the layer from features to vectors, and the length of a vector.

    Raises:
        ConfigError: no such module or release, or one that gives no vectors of images.
        UnavailableError: the module's address cannot be reached.
    """
    source = blueprint.model.backbone
    if source.startswith(RELEASE):
        folder = blueprint.release(source.removeprefix(RELEASE))
        release = ReleaseEmbedding(str(folder), IMAGE.input)
        return release, keras.layers.Identity(), release.width
    layer = HubLayer(source, str(blueprint.hub), trainable=False)
    layer.require(blueprint.featurizer.height, blueprint.featurizer.width)
    featurizer = image_featurizer(blueprint.featurizer, layer.input_shape_of_one)
    return featurizer, layer, int(layer.output_shape_of_one[-1] or 0)


def network(
    blueprint: Blueprint,
    frame: Any,
    *layers: Callable[[int], keras.Layer],
    projected: bool = False,
    **cells: int,
) -> Network:
    """Join embedder and gallery; the gallery is empty yet.

    Args:
        blueprint: of the task.
        frame: rows of the manifest that become the gallery's items.
        *layers: makers of further layers over the vectors, from the length of a vector.
        projected: whether a projection learnt from labels comes before gallery and layers.
        **cells: cells and probes of the index.
    """
    featurizer, backbone, width = embedder(blueprint)
    inputs = keras.Input(featurizer.spec.shape, dtype=featurizer.spec.dtype, name="features")
    vectors = backbone(inputs)
    if projected:
        projection = Projection(width, len(blueprint.labels))
        vectors, width = projection(vectors), projection.width
    gallery = Gallery([one[:16] for one in frame["sha256"]], list(frame["name"]), width, **cells)
    whole = keras.Model(inputs, [gallery(vectors), *(make(width)(vectors) for make in layers)])
    embed = keras.Model(inputs, vectors)
    phase = Phase("embedding", assembly.Stage(featurizer, backbone), embed, None, epochs=0)
    return Network(featurizer, whole, embed, (phase,))


def raw_pixels() -> ImageFeaturizer:
    """Make what a model's vectors are compared with: the pixels of a small copy, and no network."""
    return ImageFeaturizer(32, 32)

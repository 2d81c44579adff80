"""Heatmaps: what an occlusion map costs beside predicting the same occluded photos as one batch."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from features.images.augmentation import AugmentationSettings
from features.images.featurizer import ImageFeaturizer, ImageFeaturizerSettings
from features.ingest.rules import IngestRules
from flows.gate.expectations import call
from models.export import export
from models.task import Blueprint
from models.tasks.image_classification import IMAGE_CLASSIFICATION, ModelSettings
from tests.benchmarks import subjects
from tests.benchmarks.table import Table, machine

PATCH, STRIDE, POSITIONS = 32, 16, 14
TURNS = 3


def heatmaps() -> Table:
    """Map one photo of 224 x 224 at 14 x 14 positions, and predict the same 196 photos; turn by turn."""
    functions = _functions()
    raw = (subjects.PHOTOS / "cat.jpg").read_bytes()
    pixels = _pixels(raw)
    occluded = _occluded(pixels)
    asked = {
        "image_bytes": np.array([raw], object),
        "label": np.array([b""], object),
        "patch": np.array([PATCH], np.int32),
        "stride": np.array([STRIDE], np.int32),
        "fill": np.array([0.5], np.float32),
    }

    def ask(name: str, output: str, **given: np.ndarray) -> np.ndarray:
        return call(name, functions[name], given).outputs[output]

    work = {
        "occlusion, 14 x 14 positions": lambda: ask("occlusion", "heatmap", **asked),
        "the same 196 images, one batch": lambda: ask("from_pixels", "scores", pixels=occluded),
        "Grad-CAM": lambda: ask(
            "grad_cam", "heatmap", image_bytes=asked["image_bytes"], label=asked["label"]
        ),
    }
    answers = {name: one() for name, one in work.items()}
    heat, scores = (answers[name] for name in list(work)[:2])
    assert heat.shape == (1, POSITIONS, POSITIONS)
    whole = ask("from_pixels", "scores", pixels=pixels[np.newaxis])[0]
    drops = (whole.max() - scores[:, whole.argmax()]).reshape(POSITIONS, POSITIONS)
    assert np.abs(heat[0] - drops).max() < 1e-4
    # Turn by turn, so that a machine that is slower for a while is so for all.
    times = [{name: _seconds(one) for name, one in work.items()} for _ in range(TURNS)]
    best = {name: min(turn[name] for turn in times) for name in work}
    batch = best["the same 196 images, one batch"]
    rows = [(name, f"{best[name]:.2f}", f"{best[name] / batch:.2f}") for name in work]
    prose = (
        "One photo of 224 x 224 through the signatures of a release on MobileNet V2, in process, decoding "
        f"included, against its 196 occluded copies as one batch of pixels (target: at most 3 times); the "
        f"best of {TURNS} turns; {machine()}."
    )
    return Table("heatmaps", "Heatmaps", prose, ("work", "seconds", "to the batch"), rows)


def _functions() -> dict[str, Callable]:
    network = IMAGE_CLASSIFICATION.build(
        Blueprint(
            rules=IngestRules(),
            featurizer=ImageFeaturizerSettings(),
            model=ModelSettings.model_validate({"kind": "hub", "backbone": str(subjects.MODULE)}),
            augmentation=AugmentationSettings(),
            epochs=1,
            labels=("ants", "bees"),
            hub=Path("hub"),
        )
    )
    return export.signatures(network, IMAGE_CLASSIFICATION, ("ants", "bees"))


def _pixels(raw: bytes) -> np.ndarray:
    return ImageFeaturizer(224, 224)(tf.constant([raw]))[0].numpy()


def _occluded(pixels: np.ndarray) -> np.ndarray:
    copies = np.repeat(pixels[np.newaxis], POSITIONS**2, 0)
    for number, copy in enumerate(copies):
        top, left = (STRIDE * place + (STRIDE - PATCH) // 2 for place in divmod(number, POSITIONS))
        copy[max(top, 0) : top + PATCH, max(left, 0) : left + PATCH] = 0.5
    return copies


def _seconds(work: Callable) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin

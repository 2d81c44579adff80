"""Examples whose evidence lies at a known place, and small networks that learn to find it."""

import io
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import soundfile
import tensorflow as tf
from PIL import Image

from features.images import featurizer
from features.images.augmentation import AugmentationSettings
from features.ingest.rules import IngestRules
from features.sounds import featurizer as sounds_featurizer
from features.sounds.augmentation.windows import AudioAugmentationSettings
from features.sounds.rules import AudioRules
from models.network import Network
from models.task import Blueprint
from models.tasks import audio_classification, image_classification

LABELS = ("blue", "green", "red")
PITCHES = {"high": 2800.0, "low": 400.0, "middle": 1200.0}
SIDE, SQUARE = 32, 8
RATE, SECONDS, BURST = 8000, 0.9, 0.08


@dataclass(frozen=True)
class Planted:
    """An example and where its evidence is: rows and columns of pixels, or seconds and Hz."""

    raw: bytes
    label: int
    place: tuple[float, float]


def pictures(count: int, seed: int) -> list[Planted]:
    """Make noise with a square of 8 x 8 pixels of the label's colour, placed by its upper left corner."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        pixels = random.normal(128, 40, (SIDE, SIDE, 1)).repeat(3, 2)
        top, left = random.integers(0, SIDE - SQUARE + 1, 2)
        label = number % 3
        square = pixels[top : top + SQUARE, left : left + SQUARE]
        square[..., 2 - label] += 60
        square[..., [other for other in range(3) if other != 2 - label]] -= 30
        stream = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "PNG")
        made.append(Planted(stream.getvalue(), label, (float(top), float(left))))
    return made


def sounds(count: int, seed: int) -> list[Planted]:
    """Make noise with a tone of 0.08 s; its place is when it begins, and its pitch."""
    random = np.random.default_rng(seed)
    made = []
    time = np.arange(int(RATE * BURST)) / RATE
    for number in range(count):
        samples = random.normal(0, 0.02, int(RATE * SECONDS))
        label = number % 3
        pitch = PITCHES[sorted(PITCHES)[label]] * random.uniform(0.95, 1.05)
        begin = random.uniform(0, SECONDS - BURST)
        start = int(begin * RATE)
        samples[start : start + len(time)] += 0.1 * np.hanning(len(time)) * np.sin(2 * np.pi * pitch * time)
        stream = io.BytesIO()
        soundfile.write(stream, samples.astype(np.float32), RATE, subtype="PCM_16", format="WAV")
        made.append(Planted(stream.getvalue(), label, (begin, pitch)))
    return made


def image_network() -> Network:
    """Build a small cnn of the pictures."""
    return image_classification.IMAGE_CLASSIFICATION.build(
        Blueprint(
            rules=IngestRules(),
            featurizer=featurizer.ImageFeaturizerSettings(height=SIDE, width=SIDE),
            model=image_classification.ModelSettings.model_validate(
                {"kind": "cnn", "filters": [8, 12], "depth": 1, "dropout": 0.0}
            ),
            augmentation=AugmentationSettings(),
            epochs=1,
            labels=LABELS,
            hub=Path("hub"),
        )
    )


def sound_network(kind: str = "cnn", features: str = "log-mel") -> Network:
    """Build a small network of the sounds, which are three windows long."""
    return audio_classification.build(sound_blueprint(kind, features))


def sound_blueprint(kind: str = "cnn", features: str = "log-mel", *, wide: int = 0) -> Blueprint:
    """Describe that network, with a linear model beside it or without."""
    settings = {"kind": "cnn", "filters": [8, 12], "depth": 1, "dropout": 0.0, "wide": wide}
    bands = 24 if features == "log-mel" else 10
    return Blueprint(
        rules=AudioRules(sample_rate=RATE),
        featurizer=sounds_featurizer.AudioFeaturizerSettings(
            seconds=0.48, n_fft=256, hop_length=80, n_mels=24, features=features, n_mfcc=10
        ),
        model=audio_classification.ModelSettings.model_validate(
            settings if kind == "cnn" else {"kind": "rnn", "units": [4]}
        ),
        augmentation=AudioAugmentationSettings(),
        epochs=1,
        labels=tuple(sorted(PITCHES)),
        hub=Path("hub"),
        fitted={"mean": [-50.0] * bands, "deviation": [10.0] * bands},
    )


def learn(network: Network, examples: list[Planted], epochs: int) -> Network:
    """Train a network on examples, in batches of 30; nothing is checked."""
    features = network.featurizer(tf.constant([example.raw for example in examples]))
    targets = tf.constant([example.label for example in examples])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(network.model.trainable_variables)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)
    def step(chosen: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            outputs = network.model(tf.gather(features, chosen), training=True)
            error = loss(tf.gather(targets, chosen), outputs)
        variables = network.model.trainable_variables
        optimizer.apply(tape.gradient(error, [variable.value for variable in variables]), variables)

    random = np.random.default_rng(0)
    for _ in range(epochs):
        order = random.permutation(len(examples)).astype(np.int32)
        for start in range(0, len(order), 30):
            step(tf.constant(order[start : start + 30]))
    return network

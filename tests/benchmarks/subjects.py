"""What the servers are asked for: a signature of a SavedModel each, with one request."""

import base64
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.benchmarks.table import SHARED

MODULE = SHARED / "hub" / "mobilenet_v2_100_224_feature_vector"
PHOTOS = SHARED / "hub" / "sample_photos"
TEXTS = SHARED / "data" / "text_sst2" / "train.tsv"
LABELS = ("negative", "positive")


@dataclass(frozen=True)
class Subject:
    """A signature to call and the request that is sent again and again.

    Attributes:
        name: as in the table.
        path: its SavedModel, in a base path as version 1.
        argument: the input that carries the rows.
        rows: of one request, as JSON writes them: numbers, texts, or bytes as ``{"b64": ...}``.
        signature: the signature's name.
        beside: further inputs by name, with the value that goes with every row.
    """

    name: str
    path: Path
    argument: str
    rows: Sequence[Any]
    signature: str = "serving_default"
    beside: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the files of its requests lie."""
        return self.path.parent.parent

    @cached_property
    def grpc(self) -> Path:
        """File with a serialised PredictRequest."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        from serving import tensors

        found = tf.saved_model.load(str(self.path)).signatures[self.signature]
        specs = found.structured_input_signature[1]
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "default", self.signature
        beside = {name: [value] * len(self.rows) for name, value in self.beside.items()}
        for name, value in {self.argument: plain(self.rows), **beside}.items():
            array = tf.constant(value, specs[name].dtype).numpy()
            tensors.encode(array, request.inputs[name], content=True)
        return self._write("request.bin", request.SerializeToString())

    @cached_property
    def rest(self) -> Path:
        """File with the same request for REST."""
        rows = [{self.argument: row, **self.beside} for row in self.rows] if self.beside else self.rows
        return self._write("request.json", _json({"signature_name": self.signature, "instances": rows}))

    @cached_property
    def instances(self) -> Path:
        """File with its rows alone, as the other servers take them."""
        return self._write("instances.json", _json({"instances": self.rows}))

    @cached_property
    def description(self) -> Path:
        """File that tells the other servers what to call."""
        names = ("argument", "rows", "signature", "beside")
        told = {"path": str(self.path), **{name: getattr(self, name) for name in names}}
        return self._write("subject.json", _json(told))

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / f"{self.name}.{name}"
        path.write_bytes(content)
        return path


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode()


def plain(rows: Sequence[Any]) -> list[Any]:
    """Return rows as values: bytes out of base64, all else as it is."""
    return [base64.b64decode(row["b64"]) if isinstance(row, dict) else row for row in rows]


def subjects(folder: Path) -> list[Subject]:
    """Make the models that are measured in a folder."""
    return [_tiny(folder), _photo(folder), _text(folder), words(folder)]


def _tiny(folder: Path) -> Subject:
    from tests.serving.saved_models import line

    return Subject("half_plus_two", line(folder / "tiny" / "1"), "x", [1.0, 2.0, 5.0])


def _photo(folder: Path) -> Subject:
    import tensorflow as tf

    from tests.benchmarks.photo_model import save

    path = save(MODULE, folder / "photos" / "1")
    source = next(file for file in sorted(PHOTOS.iterdir()) if file.suffix == ".jpg")
    image = tf.image.resize(tf.io.decode_jpeg(source.read_bytes(), channels=3), (224, 224))
    raw = tf.io.encode_jpeg(tf.cast(image, tf.uint8)).numpy()
    return Subject("photo", path, "image_bytes", [{"b64": base64.b64encode(raw).decode()}])


def _text(folder: Path) -> Subject:
    """The sentence CNN with the vocabulary of SST-2; untrained, which changes no time."""
    from models.tasks.text_classification import TEXT_CLASSIFICATION as TASK

    with TEXTS.open(encoding="utf-8", newline="") as stream:
        texts = [row["text"] for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert TASK.fit is not None
    unfitted = _blueprint(TASK, "cnn", {})
    network = TASK.build(_blueprint(TASK, "cnn", TASK.fit(unfitted, (text.encode() for text in texts))))
    return Subject("text", _exported(TASK, network, folder / "texts" / "1"), TASK.raw.input, [texts[0]])


def words(folder: Path) -> Subject:
    """The ten nearest of 20,000 words with random vectors of 300."""
    import numpy as np

    from models.tasks.word_vectors import WORD_VECTORS as TASK

    known = [f"word{number}" for number in range(20_000)]
    network = TASK.build(_blueprint(TASK, "word2vec", {"vocabulary": known}))
    vectors = np.random.default_rng(0).standard_normal((len(known), 300), np.float32)
    network.model.get_layer("space").fill(vectors)
    path = _exported(TASK, network, folder / "words" / "1")
    return Subject("most_similar", path, TASK.raw.input, ["word7"], "most_similar", {"k": 10})


def _blueprint(task: Any, kind: str, fitted: Mapping[str, Any]) -> Any:
    from models.task import Blueprint

    return Blueprint(
        rules=task.rules(),
        featurizer=task.featurizer_settings(),
        model=task.settings.model_validate({"kind": kind}),
        augmentation=task.augmentation_settings(),
        epochs=1,
        labels=LABELS,
        hub=Path("hub"),
        fitted=fitted,
    )


def _exported(task: Any, network: Any, path: Path) -> Path:
    from models.export.export import export

    path.parent.mkdir()
    export(network, task, LABELS, path, warmup=[b"word7"])
    return path

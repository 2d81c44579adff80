"""Where a hub module lies: found by its handle or folder, fetched once, and loaded; what is none is named."""

import contextlib
import hashlib
import os
import re
import urllib.error
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from features.errors import AccessError, ConfigError, DataError, NoInputError, UnavailableError
from features.formats.content_type import sniff

#: Owner, model, framework, variation and, where it is named, the version.
KAGGLE_HANDLE = re.compile(r"[\w-]+/[\w.-]+/tensorFlow[12]/[\w.-]+(/\d+)?", re.IGNORECASE)
#: What an address can begin with.
SCHEMES = ("https", "http", "gs", "s3")
#: The graph of a SavedModel, and the file that marks a module of TensorFlow 1.
GRAPH, TF1_MARK = "saved_model.pb", "tfhub_module.pb"

#: Other things a path can name, by the ending of a file's name: what it is, and what to do.
_FILES = {
    ".h5": ("a Keras file", "export the model it holds with model.export(FOLDER) and name that folder"),
    ".tflite": ("a TFLite model", "choose the TF2 SavedModel of the same module"),
    ".gz": ("an archive", "unpack it and name the folder"),
    ".onnx": ("an ONNX model", "convert it to a TF2 SavedModel first"),
    ".pt": ("a PyTorch file", "choose a TF2 SavedModel"),
    ".pb": ("a file", "name the folder it lies in"),
}
_FILES |= {
    ".keras": _FILES[".h5"],
    ".hdf5": _FILES[".h5"],
    ".lite": _FILES[".tflite"],
    ".zip": _FILES[".gz"],
    ".tar": _FILES[".gz"],
    ".tgz": _FILES[".gz"],
    ".pth": _FILES[".pt"],
    ".safetensors": _FILES[".pt"],
}
#: The same, by what the content looks like, where the name says nothing.
_CONTENTS = {"HDF5 data": ".h5", "gzip data": ".gz", "ZIP archive": ".zip", "tar archive": ".tar"}
#: Files that show what a folder without saved_model.pb holds.
_FOLDERS = {
    TF1_MARK: ("a TF1 hub module", "choose the TF2 version of the module"),
    "model.json": ("a TF.js model", "choose the TF2 SavedModel of the same module"),
    "*.tflite": ("a TFLite model", "choose the TF2 SavedModel of the same module"),
    "config.json": ("a Keras or Transformers model", "export it as a TF2 SavedModel: model.export(FOLDER)"),
    "*.tar.gz": ("an archive", "unpack it and name the folder"),
}


def resolve(handle: str, cache: Path) -> Path:
    """Find the folder of a module, fetching it into the cache where the handle is an address.

    Args:
        handle: a folder, a tfhub.dev or Kaggle address, or a Kaggle handle such as
            ``google/mobilenet-v2/tensorFlow2/100-224-feature-vector/1``.
        cache: persistent folder of fetched modules, one per SHA-1 of the handle.

    Raises:
        NoInputError: a path that holds no SavedModel, or an address that nothing answers to.
        ConfigError: no address that can be fetched.
        UnavailableError: the address cannot be reached and is not in the cache.
        AccessError: the cache cannot be made.
    """
    if KAGGLE_HANDLE.fullmatch(handle) and not Path(handle).exists():
        handle = f"https://www.kaggle.com/models/{handle}"
    if "://" not in handle:
        return _local(handle)
    held = cache / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    if (held / GRAPH).is_file():
        return held
    return _fetched(handle, held)


def _fetched(handle: str, held: Path) -> Path:
    if handle.partition("://")[0] not in SCHEMES:
        raise ConfigError(
            "not the address of a hub module",
            got=handle,
            expected=f"an address that begins with {', '.join(f'{scheme}://' for scheme in SCHEMES)}",
            todo="correct the handle",
        )
    try:
        held.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AccessError(
            f"cannot create the folder of downloaded hub modules {held.parent}",
            got=error.strerror,
            todo="correct TFHUB_CACHE_DIR or the workspace",
        ) from error
    try:
        with warnings.catch_warnings(), _cache_dir(held.parent):
            # It imports pkg_resources, which says that it is deprecated.
            warnings.simplefilter("ignore")
            import tensorflow_hub as hub

            return Path(hub.resolve(handle))
    except Exception as error:
        gone = isinstance(error, urllib.error.HTTPError) and error.code in (404, 410)
        raise (NoInputError if gone else UnavailableError)(
            f"{'no such hub module' if gone else 'cannot download the hub module'} {handle}",
            got=f"{type(error).__name__}: {error}"[:200],
            expected="the address of a module" if gone else "a reachable address",
            todo=f"give the folder of an unpacked module with --set model.backbone=PATH, "
            f"or put its content at {held}",
        ) from error


@contextlib.contextmanager
def _cache_dir(cache: Path) -> Iterator[None]:
    before = os.environ.get("TFHUB_CACHE_DIR")
    os.environ["TFHUB_CACHE_DIR"] = str(cache)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TFHUB_CACHE_DIR"]
        else:
            os.environ["TFHUB_CACHE_DIR"] = before


def _local(path: str) -> Path:
    folder = Path(path)
    if not (folder / GRAPH).is_file():
        description, todo = _instead(folder)
        raise NoInputError(
            "no hub module in this folder",
            got=f"{path}, {description}",
            expected=f"a folder with {GRAPH}, or a https:// handle",
            todo=todo,
        )
    return folder.absolute()


def _instead(path: Path) -> tuple[str, str]:
    """Describe a path without a SavedModel, and what to do."""
    if path.is_file():
        return _other_file(path)
    if not path.is_dir():
        host = "" if path.is_absolute() else path.parts[0]
        if "." in host.strip("."):
            return "which does not exist", f"put https:// before it if {host} is the name of a server"
        return "which does not exist", "check the path or the handle"
    for pattern, description in _FOLDERS.items():
        if any(path.glob(pattern)):
            return description
    below = sorted(path.glob(f"*/{GRAPH}"))
    if below:
        return "a folder of modules", f"name one of them, as {below[-1].parent}"
    empty = not any(path.iterdir())
    return ("an empty folder" if empty else "another folder"), "check the path"


def _other_file(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        head = file.read(512)
    ending = path.suffix.lower()
    if ending not in _FILES:
        ending = ".tflite" if head[4:8] == b"TFL3" else _CONTENTS.get(sniff(head), "")
    return _FILES.get(ending, ("a file", "name a folder"))


def load(folder: Path, name: str) -> Any:
    """Load a SavedModel of the user's: whatever cannot be loaded is a fault of the files.

    Args:
        folder: with ``saved_model.pb``.
        name: what the user called it, for messages.

    Raises:
        NoInputError: it is a TF1 hub module.
        ConfigError: its graph needs operations that TensorFlow itself does not have.
        DataError: it is damaged.
    """
    if (folder / TF1_MARK).is_file() or _graphs(folder, name) > 1:
        raise NoInputError(
            f"TensorFlow 2 cannot train the module {name}",
            got="a TF1 hub module",
            expected="a reusable SavedModel in TF2 form",
            todo="choose the TF2 version of the module, and name its folder or handle in model.backbone",
        )
    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
        if "Op type not registered" in text or "custom_gradient" in text:
            raise ConfigError(
                f"the module {name} needs operations that TensorFlow does not have",
                got=text,
                todo="choose a module without custom operations",
            ) from error
        raise _damaged(folder, name, text) from error


def _graphs(folder: Path, name: str) -> int:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((folder / GRAPH).read_bytes())
    except Exception as error:
        raise _damaged(folder, name, f"{type(error).__name__}: {error}"[:200]) from error
    if not model.meta_graphs:
        raise _damaged(folder, name, f"{GRAPH} without a graph")
    return len(model.meta_graphs)


def _damaged(folder: Path, name: str, text: str) -> DataError:
    return DataError(
        f"the SavedModel {name} cannot be loaded",
        got=text,
        expected=f"complete files in {folder}",
        todo="download or copy it again",
    )


def module_fingerprint(folder: Path) -> str:
    """Hash a module's graph and weights, whatever folder it lies in; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        inner = path.relative_to(folder).as_posix()
        if inner.startswith(("saved_model.pb", "variables/", "assets/")):
            digest.update(inner.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]

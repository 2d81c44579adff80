"""One loaded version of a model: a SavedModel in a session of its own.

Like TensorFlow Serving's SavedModelBundle: the graph is run by tensor names, so that SavedModels of
TensorFlow 1 and 2 and of Keras behave alike and every error has the runtime's own words.
"""

import contextlib
import gc
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
from tensorflow.python.saved_model import loader_impl

from features.errors import DataError, ServableError
from serving import errors
from serving.engine import allocator, deadline
from serving.engine.stopping import Stopper, has_loop
from serving.engine.workers import aside
from serving.repository.release import MANIFEST, MODEL_FILES, Release
from serving.repository.statement import PROVENANCE

DEFAULT_SIGNATURE = "serving_default"

_WRONG_DTYPE = re.compile(
    r"Type mismatch: actual (?P<got>\S+) vs\. expect (?P<wanted>\S+)\s.*_(?P<place>\d+)\}\}", re.DOTALL
)

#: TensorFlow's number of threads, or of a pool, for running operations in the thread that calls.
CALLERS_THREAD = -1

#: Planned calls kept per model; each combination of fed and fetched tensors needs one.
MAX_CALLABLES = 256


@dataclass(frozen=True)
class SessionOptions:
    """How sessions run graphs.

    Attributes:
        tags: tags of the MetaGraphDef to load.
        inter_op_threads: threads that run independent operations of one request; -1 runs them in the
            caller's thread, which is fastest for most models; 0 lets TensorFlow choose.
        intra_op_threads: threads within one operation; 0 lets TensorFlow choose.
        config_file: a ConfigProto in text format, which the two settings above override; or None.
    """

    tags: tuple[str, ...] = ("serve",)
    inter_op_threads: int = CALLERS_THREAD
    intra_op_threads: int = 0
    config_file: Path | None = None

    def proto(self) -> config_pb2.ConfigProto:
        """Make the session's configuration.

        Raises:
            InvalidArgument: the file cannot be parsed; NotFound, PermissionDenied: it cannot be read.
        """
        config = config_pb2.ConfigProto()
        # TensorFlow passes twice over a graph to optimise it: the second pass changes no call's time here,
        # and each signature waits for it before its first answer.
        rewriting = config.graph_options.rewrite_options
        rewriting.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
        if self.config_file is not None:
            try:
                config.MergeFrom(text_format.Parse(self.config_file.read_text(), config_pb2.ConfigProto()))
            except (OSError, ValueError, text_format.ParseError) as error:
                raise errors.of_file(error)(f"Invalid protobuf file: '{self.config_file}': {error}") from None
        if self.inter_op_threads:
            config.inter_op_parallelism_threads = self.inter_op_threads
        if self.intra_op_threads:
            config.intra_op_parallelism_threads = self.intra_op_threads
        return config


class Served(Protocol):
    """A model version that answers: a Servable, or a Batcher in front of one."""

    name: str
    version: int
    path: Path
    signatures: dict[str, meta_graph_pb2.SignatureDef]
    plans: dict[tuple[Any, ...], Any]

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Run the graph on values by tensor name; return those of the tensors to fetch."""
        ...

    def close(self) -> None:
        """Free what the version holds."""
        ...


class Servable:
    """A SavedModel that answers.

    Args:
        name: the model's name.
        version: its version.
        path: the version directory; its hashes are checked where it has a manifest.
        options: how to run it.

    Attributes:
        signatures: SignatureDef by name.

    Raises:
        ServerError: the directory holds no SavedModel with these tags, or it is damaged.
    """

    def __init__(self, name: str, version: int, path: Path, options: SessionOptions | None = None) -> None:
        self.name, self.version, self.path = name, version, path
        check(name, version, path)
        self._session, meta_graph, self._inline = _load(path, options or SessionOptions())
        self._stopper = Stopper(self._session) if has_loop(meta_graph) else None
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = dict(meta_graph.signature_def)
        # Calls that were checked once, kept by serving.inference.predict.
        self.plans: dict[tuple[Any, ...], Any] = {}
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], Any] = {}
        self._lock = threading.Lock()

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Run the graph, outside the interpreter's lock.

        Args:
            feeds: values by tensor name.
            fetches: tensor names; one may come twice.

        Raises:
            ServerError: the runtime's status.
        """
        caller = deadline.current()
        if not caller.waits():
            raise deadline.passed()
        names = tuple(feeds), tuple(fetches)
        try:
            if self._stopper is None:
                values = aside(self._callable(*names), *feeds.values())
            else:
                values = self._stopper.run(names, self._callable, list(feeds.values()), caller.until)
        except tf.errors.OpError as error:
            raise errors.error_of(errors.code_of(error), _as_of_a_run(error.message)) from None
        except (TypeError, ValueError) as error:
            # The session's own conversion of an argument, as of text that is no bytes.
            raise errors.InvalidArgument(str(error)) from None
        return [np.asarray(value) for value in values]

    def _callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Any:
        run = self._callables.get((feeds, fetches))
        if run is None:
            with self._lock:
                if len(self._callables) >= MAX_CALLABLES:
                    self._callables.pop(next(iter(self._callables)))
                # Session.run() checks and plans each call in Python, five times the cost of the
                # call itself for a small model; a callable is planned once. It also leaves the
                # checks of dtype to the runtime, whose words the real server passes on.
                options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
                if self._inline:
                    options.run_options.inter_op_thread_pool = CALLERS_THREAD
                run = self._session._make_callable_from_options(options)
                self._callables[feeds, fetches] = run
        return run

    def close(self) -> None:
        """Free the graph and its variables; no run may be under way."""
        self._callables.clear()
        self._stopper = None
        self._session.close()
        self._session = None
        # A graph refers to itself; without this its memory waits for the collector's next full round.
        gc.collect()
        allocator.return_memory()


def _as_of_a_run(message: str) -> str:
    # A planned call leaves the check of dtypes to a kernel; the real server's session makes it, in
    # these words, before any kernel runs.
    match = _WRONG_DTYPE.match(message)
    if match is None:
        return message
    return f"Expects arg[{match['place']}] to be {match['wanted']} but {match['got']} is provided"


def check(name: str, version: int, path: Path) -> None:
    """Make sure that a version directory holds a SavedModel, unchanged where its manifest has hashes.

    Raises:
        NotFound: there is no SavedModel.
        DataLoss: as of `check_hashes`.
    """
    if not any((path / file).is_file() for file in MODEL_FILES):
        raise errors.NotFound(
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}. Check that "
            "the directory exists and that you have the right permissions for accessing it."
        )
    check_hashes(name, version, path)


def check_hashes(name: str, version: int, path: Path) -> None:
    """Compare a version directory with its manifest, where it has one.

    Raises:
        DataLoss: a file is missing, changed or was added after publishing, or the provenance statement says
            otherwise.
    """
    # A release without its manifest is damaged; a SavedModel of another tool has neither.
    if not (path / MANIFEST).is_file() and not (path / PROVENANCE).is_file():
        return
    try:
        Release.load(name, version, path).verify()
    except DataError as error:
        raise errors.DataLoss(str(error)) from None


def _load(path: Path, options: SessionOptions) -> tuple[Any, meta_graph_pb2.MetaGraphDef, bool]:
    """Return a session with the model, its MetaGraphDef, and whether runs choose the caller's thread."""
    _register_text_ops()
    config, graph = options.proto(), tf.Graph()
    session = None
    try:
        loader = loader_impl.SavedModelLoader(str(path))
        described = loader.get_meta_graph_def_from_tags(list(options.tags))
        # A session that knows no thread but the caller's cannot stop a run.
        inline = config.inter_op_parallelism_threads == CALLERS_THREAD and has_loop(described)
        if inline:
            config.inter_op_parallelism_threads = 0
        session = tf.compat.v1.Session(graph=graph, config=config)
        meta_graph = loader.load(session, list(options.tags))
        graph.finalize()
    except BaseException as error:
        if session is not None:
            session.close()
        if isinstance(error, Exception):
            raise load_error(path, options.tags, error) from error
        raise
    return session, meta_graph, inline


def _register_text_ops() -> None:
    # TensorFlow Serving links tensorflow-text's operations in; importing the package registers them here.
    with contextlib.suppress(ImportError):
        import tensorflow_text  # type: ignore[import-not-found,unused-ignore]  # noqa: F401


def load_error(path: Path, tags: Sequence[str], error: Exception) -> errors.ServerError:
    """Make one error of the many kinds that TensorFlow's loader raises."""
    if isinstance(error, errors.ServerError):
        return error
    if isinstance(error, tf.errors.OpError):
        return errors.error_of(errors.code_of(error), error.message)
    if isinstance(error, RuntimeError) and "tag" in str(error):
        return errors.NotFound(
            f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To inspect "
            "available tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
        )
    if isinstance(error, ServableError | MemoryError):
        return errors.error_of(errors.code_of(error), errors.words_of(error))
    return errors.DataLoss(f"Cannot load the SavedModel at {path}: {type(error).__name__}: {error}")

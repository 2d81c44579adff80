"""Runs that end when their deadline passes, where TensorFlow can stop them.

A session with a timeout looks at it between the steps of a loop alone; a graph without loops runs to its end
whatever the time (docs/serving.md has the figures). The timeout also needs TensorFlow's own threads, where a
quick run takes more than twice as long, so it is set for loops that are known to take long.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.client import pywrap_tf_session

from serving.engine.workers import aside

#: Seconds that a run may take without being watched: to change threads costs next to nothing of more.
UNWATCHED_SECONDS = 0.05

_LOOPS = frozenset({"While", "StatelessWhile", "Enter", "RefEnter"})

#: Tensor names that are fed, and those that are fetched.
Names = tuple[tuple[str, ...], tuple[str, ...]]


def has_loop(meta_graph: meta_graph_pb2.MetaGraphDef) -> bool:
    """Return whether a graph, or a function of it, has a loop."""
    graph = meta_graph.graph_def
    if any(node.op in _LOOPS for node in graph.node):
        return True
    return any(node.op in _LOOPS for function in graph.library.function for node in function.node_def)


class Stopper:
    """Runs the graph of a session, the long runs with a timeout.

    Args:
        session: holds the graph.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        # What the last run of each kind took; a run of unknown length may never end.
        self._seconds: dict[Names, float] = {}

    def run(
        self,
        names: Names,
        quick: Callable[[tuple[str, ...], tuple[str, ...]], Callable[..., Any]],
        values: Sequence[np.ndarray],
        until: float | None,
    ) -> Any:
        """Run the graph.

        Args:
            names: of the tensors.
            quick: makes the call that runs it without a timeout.
            values: of the tensors that are fed.
            until: when the deadline passes, by `time.monotonic`; None for never.

        Raises:
            tf.errors.OpError: the runtime's status.
        """
        began = time.monotonic()
        if until is None or self._seconds.get(names, UNWATCHED_SECONDS) < UNWATCHED_SECONDS:
            outputs = aside(quick(*names), *values)
        else:
            outputs = aside(self._watched, names, values, until - began)
        self._seconds[names] = time.monotonic() - began
        return outputs

    def _watched(self, names: Names, values: Sequence[np.ndarray], seconds: float) -> Any:
        outputs = self._session.graph.get_tensor_by_name
        fed, fetched = ([outputs(name)._as_tf_output() for name in part] for part in names)
        options = config_pb2.RunOptions(timeout_in_ms=max(1, round(seconds * 1000)))
        buffer = pywrap_tf_session.TF_NewBufferFromString(options.SerializeToString())
        try:
            # Below Session.run(), which converts dtypes that the real server refuses.
            return pywrap_tf_session.TF_SessionRun_wrapper(
                self._session._session, buffer, dict(zip(fed, values, strict=True)), fetched, [], None
            )
        finally:
            pywrap_tf_session.TF_DeleteBuffer(buffer)

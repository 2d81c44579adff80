"""TensorFlow's ProfilerService: what the runtime does while the server answers, for TensorBoard's profiler.

Unlike TensorFlow's own, it writes no file where the client says: the client gets the data and saves them.
"""

import tempfile
import threading
from pathlib import Path
from typing import Any

from tensorflow.python.profiler.internal import _pywrap_profiler

from serving import descriptions
from serving.engine import deadline
from serving.engine.workers import aside
from serving.errors import Unimplemented

#: Seconds between two looks at whether the client still waits.
_STEP = 0.05

#: The file of TensorBoard's profiler that the data are for.
_FILE = "xplane.pb"

_PACKAGE = "tensorflow"
_MESSAGES: descriptions.Fields = {
    "ProfileOptions": (
        ("host_tracer_level", 2, "uint32"),
        ("device_tracer_level", 3, "uint32"),
        ("python_tracer_level", 4, "uint32"),
        ("version", 5, "uint32"),
        ("duration_ms", 9, "uint64"),
    ),
    "ProfileRequest": (
        ("duration_ms", 1, "uint64"),
        ("opts", 4, f"{_PACKAGE}.ProfileOptions"),
        ("session_id", 6, "string"),
        ("emit_xspace", 9, "bool"),
    ),
    "ProfileToolData": (("name", 1, "string"), ("data", 2, "bytes")),
    # On the wire a message, as xspace is there, is its bytes.
    "ProfileResponse": (
        ("tool_data", 6, f"[{_PACKAGE}.ProfileToolData]"),
        ("empty_trace", 7, "bool"),
        ("xspace", 8, "bytes"),
    ),
    "TerminateRequest": (("session_id", 1, "string"),),
    "TerminateResponse": (),
    "MonitorRequest": (("duration_ms", 1, "uint64"),),
    # What was collected, as far as it tells whether that is anything.
    "XSpace": (("planes", 1, f"[{_PACKAGE}.XPlane]"),),
    "XPlane": (("name", 2, "string"), ("lines", 3, f"[{_PACKAGE}.XLine]")),
    "XLine": (("events", 4, "[bytes]"),),
}
_CLASSES = descriptions.classes(_PACKAGE, _MESSAGES)

ProfileRequest, ProfileResponse = _CLASSES["ProfileRequest"], _CLASSES["ProfileResponse"]
TerminateRequest, TerminateResponse = _CLASSES["TerminateRequest"], _CLASSES["TerminateResponse"]
MonitorRequest = _CLASSES["MonitorRequest"]


class Profiler:
    """The calls of the service; TensorFlow profiles a process once at a time."""

    def __init__(self) -> None:
        self._running: dict[str, threading.Event] = {}

    def profile(self, request: Any) -> Any:
        """Collect what runs for the duration that the request names, or until `terminate`.

        Raises:
            tf.errors.OpError: the process is being profiled already.
            DeadlineExceeded: the client no longer waits.
        """
        stop = threading.Event()
        with tempfile.TemporaryDirectory() as folder:
            profiler = _pywrap_profiler.ProfilerSession()
            profiler.start(folder, _options(request.opts))
            self._running[request.session_id] = stop
            try:
                waited = _wait(stop, (request.opts.duration_ms or request.duration_ms) / 1000)
            finally:
                self._running.pop(request.session_id, None)
                # What its stop() returns is another form, which no tool reads.
                profiler.export_to_tb()
            if not waited:
                raise deadline.passed()
            return _response(Path(folder), whole=request.emit_xspace)

    def terminate(self, request: Any) -> Any:
        """End a profile early; one that is over is fine."""
        stop = self._running.get(request.session_id)
        if stop is not None:
            stop.set()
        return TerminateResponse()

    def monitor(self, request: Any) -> Any:
        """Refuse, as TensorFlow does anywhere but on TPUs.

        Raises:
            Unimplemented: always.
        """
        raise Unimplemented("unimplemented.")


def _options(chosen: Any) -> dict[str, int]:
    """Return the levels of a request; without a version it is one that chose none."""
    if not chosen.version:
        return {}
    names = ("host_tracer_level", "device_tracer_level", "python_tracer_level")
    return {name: getattr(chosen, name) for name in names}


def _wait(stop: threading.Event, seconds: float) -> bool:
    """Wait some seconds or until told to stop; return whether the client waits as well."""
    caller, until = deadline.current(), deadline.ends_in(seconds)
    window = deadline.Caller(until=until)
    while window.waits() and caller.waits():
        if aside(stop.wait, min(_STEP, seconds)):
            break
    return caller.waits()


def _response(folder: Path, *, whole: bool) -> Any:
    """Make the answer from the files of a profile."""
    collected = next(folder.rglob(f"*.{_FILE}")).read_bytes()
    planes = _CLASSES["XSpace"].FromString(collected).planes
    empty = not any(line.events for plane in planes for line in plane.lines)
    if whole:
        return ProfileResponse(empty_trace=empty, xspace=collected)
    response = ProfileResponse(empty_trace=empty)
    response.tool_data.add(name=_FILE, data=collected)
    return response

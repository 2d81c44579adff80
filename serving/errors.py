"""The model server's errors: each a child of the one error tree, each with one gRPC and one HTTP status.

The mapping lives here alone: ``HTTP_STATUS`` from gRPC codes to HTTP (TensorFlow Serving's own table,
model_servers/http_server.cc), ``code_of`` from any exception to a gRPC code, ``error_of`` back from a
code to the class the client raises.
"""

# The classes bear the names of gRPC's status codes, which users know.
# ruff: noqa: N818

import grpc

from features.errors import (
    AccessError,
    ConfigError,
    DataError,
    ExportError,
    NoInputError,
    ServableError,
    StorageError,
    TemporaryError,
    UnavailableError,
    UsageError,
)


class ServerError(ServableError):
    """An answer of the model server other than OK.

    Args:
        message: the server's words.
        model: name of the model requested, or None.
        version: the version requested, or None.
    """

    code = grpc.StatusCode.UNKNOWN

    def __init__(self, message: str, *, model: str | None = None, version: int | None = None) -> None:
        # The server's words travel unaltered: clients compare them, and they may hold line breaks.
        super().__init__(message)
        self.args = (message,)
        self.message, self.model, self.version = message, model, version

    def __str__(self) -> str:
        where = "" if self.model is None else f"model {self.model}"
        if self.version is not None:
            where = f"{where} version {self.version}".lstrip()
        return f"{where}: {self.message}" if where else self.message

    @property
    def http_status(self) -> int:
        """The HTTP status of this error."""
        return HTTP_STATUS[self.code]


class Cancelled(ServerError):
    """The caller went away before the answer."""

    code = grpc.StatusCode.CANCELLED
    exit_code = 75


class Unknown(ServerError):
    """The server gave no reason."""


class InvalidArgument(ServerError):
    """The request cannot be understood or does not fit the model."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    exit_code = 65


class DeadlineExceeded(ServerError):
    """No answer in the time the caller gave."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    exit_code = 75


class NotFound(ServerError):
    """No such model, version, label or route."""

    code = grpc.StatusCode.NOT_FOUND
    exit_code = 66


class AlreadyExists(ServerError):
    """What should be made is there."""

    code = grpc.StatusCode.ALREADY_EXISTS
    exit_code = 73


class PermissionDenied(ServerError):
    """The caller may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED
    exit_code = 77


class ResourceExhausted(ServerError):
    """A bound was met: message size, queue, memory."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    exit_code = 75


class FailedPrecondition(ServerError):
    """The model is not in a state, or not of a kind, that allows the call."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    exit_code = 65


class Aborted(ServerError):
    """The operation was given up half-way."""

    code = grpc.StatusCode.ABORTED
    exit_code = 75


class OutOfRange(ServerError):
    """A value lies outside what the model accepts."""

    code = grpc.StatusCode.OUT_OF_RANGE
    exit_code = 65


class Unimplemented(ServerError):
    """The server does not offer the call."""

    code = grpc.StatusCode.UNIMPLEMENTED
    exit_code = 69


class Internal(ServerError):
    """The server is at fault."""

    code = grpc.StatusCode.INTERNAL


class Unavailable(ServerError):
    """The server cannot be reached, is loading or is draining; safe to repeat."""

    code = grpc.StatusCode.UNAVAILABLE
    exit_code = 69


class DataLoss(ServerError):
    """The model's files are damaged."""

    code = grpc.StatusCode.DATA_LOSS
    exit_code = 74


class Unauthenticated(ServerError):
    """The caller did not say who it is."""

    code = grpc.StatusCode.UNAUTHENTICATED
    exit_code = 77


#: gRPC code to HTTP status, as TensorFlow Serving answers.
HTTP_STATUS: dict[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}

#: gRPC code to the error class that carries it.
ERRORS: dict[grpc.StatusCode, type[ServerError]] = {
    kind.code: kind
    for kind in (
        Cancelled,
        Unknown,
        InvalidArgument,
        DeadlineExceeded,
        NotFound,
        AlreadyExists,
        PermissionDenied,
        ResourceExhausted,
        FailedPrecondition,
        Aborted,
        OutOfRange,
        Unimplemented,
        Internal,
        Unavailable,
        DataLoss,
        Unauthenticated,
    )
}

_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}

#: The rest of the tree, nearest class first; anything else is UNKNOWN, as in TensorFlow Serving.
_OTHERS: tuple[tuple[type[BaseException], grpc.StatusCode], ...] = (
    (UsageError, grpc.StatusCode.INVALID_ARGUMENT),
    (DataError, grpc.StatusCode.INVALID_ARGUMENT),
    (NoInputError, grpc.StatusCode.NOT_FOUND),
    (UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (ExportError, grpc.StatusCode.FAILED_PRECONDITION),
    (StorageError, grpc.StatusCode.DATA_LOSS),
    (TemporaryError, grpc.StatusCode.UNAVAILABLE),
    (AccessError, grpc.StatusCode.PERMISSION_DENIED),
    (ConfigError, grpc.StatusCode.INVALID_ARGUMENT),
    (ServableError, grpc.StatusCode.INTERNAL),
    (MemoryError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TimeoutError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (FileNotFoundError, grpc.StatusCode.NOT_FOUND),
    (PermissionError, grpc.StatusCode.PERMISSION_DENIED),
    (RecursionError, grpc.StatusCode.INVALID_ARGUMENT),
    (ValueError, grpc.StatusCode.INVALID_ARGUMENT),
    (TypeError, grpc.StatusCode.INVALID_ARGUMENT),
)


def code_of(error: BaseException) -> grpc.StatusCode:
    """Return the gRPC code for an exception; every exception has one.

    TensorFlow's own errors carry the number of their code, which is gRPC's.
    """
    if isinstance(error, ServerError):
        return error.code
    number = getattr(error, "error_code", None)
    if isinstance(number, int) and number in _BY_NUMBER:
        return _BY_NUMBER[number]
    for kind, code in _OTHERS:
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.UNKNOWN


def of_file(error: BaseException) -> type[ServerError]:
    """Return the error class for a configuration file or folder that cannot be used."""
    if isinstance(error, PermissionError):
        return PermissionDenied
    return NotFound if isinstance(error, OSError) else InvalidArgument


def words_of(error: BaseException) -> str:
    """Return the message for an exception, without a traceback."""
    if isinstance(error, ServerError):
        return error.message
    return str(getattr(error, "message", None) or error) or type(error).__name__


def error_of(
    code: grpc.StatusCode, message: str, *, model: str | None = None, version: int | None = None
) -> ServerError:
    """Make the error a client raises for a gRPC status."""
    return ERRORS.get(code, Unknown)(message, model=model, version=version)

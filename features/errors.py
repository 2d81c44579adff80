"""The one error tree of Servable.

Every error a user can meet derives from ServableError and carries its process exit code (BSD
``sysexits``), so that a script or a scheduler can tell "repeat" from "stop". The server's errors
(serving/errors.py) hang in the same tree and add a gRPC and an HTTP status.
"""


class ServableError(Exception):
    """An error with one line on what failed, what was got, what was expected and what to do.

    Args:
        what: the failure and the file, model or run it concerns.
        got: what was found instead, or None.
        expected: what would have been right, or None.
        todo: what the user can do about it, or None.
    """

    exit_code = 70

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, todo: str | None = None
    ) -> None:
        self.what, self.got, self.expected, self.todo = what, got, expected, todo
        parts = [what]
        if got is not None:
            parts.append(f"got {got}")
        if expected is not None:
            parts.append(f"expected {expected}")
        message = "; ".join(parts)
        if todo:
            message = f"{message}. {todo[0].upper()}{todo[1:]}"
        super().__init__(" ".join(message.split()))


class UsageError(ServableError):
    """The command line cannot be understood."""

    exit_code = 2


class DataError(ServableError):
    """The data cannot be used as they are; repeating changes nothing."""

    exit_code = 65


class NoInputError(ServableError):
    """A named input file or folder does not exist."""

    exit_code = 66


class UnavailableError(ServableError):
    """A service that is needed cannot be reached."""

    exit_code = 69


class InternalError(ServableError):
    """Servable itself is at fault."""

    exit_code = 70


class ExportError(ServableError):
    """A model cannot be exported, or the gate refused it."""

    exit_code = 73


class StorageError(ServableError):
    """Reading or writing failed: disk full, quota, I/O error."""

    exit_code = 74


class TemporaryError(ServableError):
    """Something is held by another process; safe to repeat."""

    exit_code = 75


class AccessError(ServableError):
    """Permission denied."""

    exit_code = 77


class ConfigError(ServableError):
    """A recipe, a setting or the installation is wrong."""

    exit_code = 78

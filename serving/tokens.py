"""Bearer tokens: who may call a server that asks for one."""

import hashlib
import hmac
import logging
from pathlib import Path

from features.errors import ConfigError, ServableError
from serving.security import read

#: Characters of a token that nobody guesses.
SHORTEST = 16

#: Header of REST, and metadata of gRPC, that carries a token.
HEADER = "authorization"

#: What a caller without a token is told.
REFUSAL = (
    "the server requires a valid token: send it as 'authorization: Bearer TOKEN' "
    "(--token-file FILE of the servable commands)"
)

_log = logging.getLogger(__name__)


class Tokens:
    """The tokens of a file, one per line; read again when the file changes.

    Args:
        path: of the file; empty lines and those that begin with # are skipped.

    Raises:
        NoInputError, AccessError: the file cannot be read.
        ConfigError: it contains no token, or one that is too short or not printable ASCII.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._digests = _digests(path)

    def admit(self, header: str | bytes | None) -> bool:
        """Return whether an authorization header carries one of the tokens; in constant time."""
        self._renew()
        text = header.encode("utf-8", "replace") if isinstance(header, str) else header or b""
        scheme, _, token = text.partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        # All are compared, and none shows by the time it takes how much of it was right.
        matches = [hmac.compare_digest(digest, one) for one in self._digests]
        return scheme.lower() == b"bearer" and any(matches)

    def _renew(self) -> None:
        stamp = _stamp(self._path)
        if stamp in (None, self._stamp):
            return
        self._stamp = stamp
        try:
            self._digests = _digests(self._path)
        except ServableError as error:
            _log.error("cannot reload the tokens, so the old ones stay valid: %s", error)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digests(path: Path) -> list[bytes]:
    lines = [line.strip() for line in read(path).splitlines()]
    tokens = [line for line in lines if line and not line.startswith(b"#")]
    if not tokens:
        raise ConfigError(f"{path} contains no token", expected="one token per line")
    for token in tokens:
        # The message must not repeat a token.
        if len(token) < SHORTEST or not token.isascii() or not token.decode().isprintable() or b" " in token:
            raise ConfigError(
                f"a token in {path} cannot be used",
                expected=f"at least {SHORTEST} printable ASCII characters without blanks",
                todo="make one with: openssl rand -hex 32",
            )
    return [hashlib.sha256(token).digest() for token in tokens]

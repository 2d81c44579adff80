"""How a command line reaches a server that asks for TLS or a token: from files to a client's settings."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import AccessError, ConfigError, NoInputError, UsageError


@dataclass(frozen=True)
class Security:
    """Encryption and token of the calls to a server.

    Attributes:
        tls: encrypt; also where `ca` or `cert` is given.
        ca: PEM file of the authorities to trust; None for the system's.
        token_file: file that holds the token, which is sent with each call.
        cert: PEM file of the client's certificate, for a server that requires one.
        key: PEM file of its private key; it may be the same file.

    Raises:
        UsageError: only one of `cert` and `key` is given.
    """

    tls: bool = False
    ca: Path | None = None
    token_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise UsageError(
                "a client certificate needs two files",
                got="--key without --cert" if self.cert is None else "--cert without --key",
                expected="--cert FILE --key FILE",
            )

    @property
    def encrypted(self) -> bool:
        """Whether calls are encrypted."""
        return self.tls or self.ca is not None or self.cert is not None

    def settings(self) -> dict[str, Any]:
        """Read the files and return the settings of a client.

        Raises:
            NoInputError, AccessError: a file cannot be read.
            ConfigError: a file does not hold what it should.
        """
        return {
            "tls": self.encrypted,
            "root_certificates": _pem(self.ca, "certificate"),
            "token": self._token(),
            "certificate": _pem(self.cert, "certificate"),
            "private_key": _pem(self.key, "private key"),
        }

    def _token(self) -> str | None:
        if self.token_file is None:
            return None
        token = read(self.token_file).decode("ascii", "replace").strip()
        if not token or not token.isascii() or not token.isprintable():
            raise ConfigError(f"{self.token_file} contains no token", expected="one line of printable ASCII")
        return token

    @property
    def scheme(self) -> str:
        """The scheme of a URL."""
        return "https" if self.encrypted else "http"

    def curl(self) -> str:
        """Return curl's options, each with a blank in front; the token is read when the command runs."""
        return self._files("--") + self._header()

    def grpcurl(self) -> str:
        """Return grpcurl's options, each with a blank in front; the token is read when the command runs."""
        if not self.encrypted:
            return f" -plaintext{self._header()}"
        return self._files("-") + self._header()

    def _files(self, dashes: str) -> str:
        named = (("cacert", self.ca), ("cert", self.cert), ("key", self.key))
        return "".join(f" {dashes}{name} {shlex.quote(str(path))}" for name, path in named if path)

    def _header(self) -> str:
        if self.token_file is None:
            return ""
        return f' -H "authorization: Bearer $(cat {shlex.quote(str(self.token_file))})"'


#: Neither TLS nor a token.
PLAIN = Security()


def _pem(path: Path | None, kind: str) -> bytes | None:
    """Read a PEM file that holds something of a kind, such as EC PRIVATE KEY."""
    if path is None:
        return None
    content = read(path)
    if not re.search(rb"-----BEGIN [A-Z ]*" + kind.upper().encode() + rb"-----", content):
        raise ConfigError(f"{path} contains no {kind}", expected="a PEM file")
    return content


def read(path: Path) -> bytes:
    """Read a file.

    Raises:
        NoInputError, AccessError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise AccessError("cannot read the file", got=f"{path}: {error.strerror}") from None
    except OSError as error:
        raise NoInputError("cannot read the file", got=f"{path}: {error.strerror}") from None

"""How a command line reaches a server that asks for TLS or a token: from files to a client's settings."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import AccessError, ConfigError, NoInputError


@dataclass(frozen=True)
class Security:
    """Encryption and token of the calls to a server.

    Attributes:
        tls: encrypt; also where `ca` is given.
        ca: PEM file of the authorities to trust; None for the system's.
        token_file: file that holds the token, which is sent with each call.
    """

    tls: bool = False
    ca: Path | None = None
    token_file: Path | None = None

    @property
    def encrypted(self) -> bool:
        """Whether calls are encrypted."""
        return self.tls or self.ca is not None

    def settings(self) -> dict[str, Any]:
        """Read the files and return the settings of a client.

        Raises:
            NoInputError, AccessError: a file cannot be read.
            ConfigError: a file does not hold what it should.
        """
        return {"tls": self.encrypted, "root_certificates": self._roots(), "token": self._token()}

    def _roots(self) -> bytes | None:
        if self.ca is None:
            return None
        content = read(self.ca)
        if b"-----BEGIN CERTIFICATE-----" not in content:
            raise ConfigError(f"{self.ca} holds no certificate", expected="PEM text")
        return content

    def _token(self) -> str | None:
        if self.token_file is None:
            return None
        token = read(self.token_file).decode("ascii", "replace").strip()
        if not token or not token.isascii() or not token.isprintable():
            raise ConfigError(f"{self.token_file} holds no token", expected="one line of ASCII")
        return token

    @property
    def scheme(self) -> str:
        """The scheme of a URL."""
        return "https" if self.encrypted else "http"

    def curl(self) -> str:
        """Return curl's options, each with a blank in front; the token is read when the command runs."""
        return (f" --cacert {shlex.quote(str(self.ca))}" if self.ca else "") + self._header()

    def grpcurl(self) -> str:
        """Return grpcurl's options, each with a blank in front; the token is read when the command runs."""
        if not self.encrypted:
            return f" -plaintext{self._header()}"
        return (f" -cacert {shlex.quote(str(self.ca))}" if self.ca else "") + self._header()

    def _header(self) -> str:
        if self.token_file is None:
            return ""
        return f' -H "authorization: Bearer $(cat {shlex.quote(str(self.token_file))})"'


#: Neither TLS nor a token.
PLAIN = Security()


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

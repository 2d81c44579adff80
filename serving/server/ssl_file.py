"""The SSLConfig file: key and certificates, read again when the file changes."""

import logging
import ssl
import tempfile
from pathlib import Path
from typing import Any

from serving import text_configs
from serving.errors import InvalidArgument, ServerError

_log = logging.getLogger(__name__)


class SslFile:
    """The file: server_key, server_cert, custom_ca as PEM text, and client_verify.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = self._state()

    def _state(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def read(self) -> Any:
        """Read the file.

        Raises:
            InvalidArgument: it cannot be parsed, or lacks a key or a certificate.
            NotFound, PermissionDenied: it cannot be read.
        """
        config = text_configs.ssl_config(self.path)
        if not config.server_key or not config.server_cert:
            raise InvalidArgument(f"'{self.path}' has no server_key or no server_cert")
        if config.client_verify and not config.custom_ca:
            raise InvalidArgument(
                f"'{self.path}' requires client certificates (client_verify) but has no custom_ca"
            )
        return config

    def changed(self) -> bool:
        """Return whether the file is another than at the last call."""
        state = self._state()
        if state is None or state == self._stamp:
            return False
        self._stamp = state
        return True


class HttpsContext:
    """The TLS of the REST port, with the same key and certificates as gRPC.

    Args:
        path: of the SSLConfig.

    Raises:
        InvalidArgument: it cannot be read, or its key and certificate do not fit.
    """

    def __init__(self, path: Path) -> None:
        self._file = SslFile(path)
        self._current = _context(self._file)

    def made(self) -> ssl.SSLContext:
        """Make the context of a port, which follows the file."""
        listening = _context(self._file)
        # Called at each handshake, with or without a server name.
        listening.sni_callback = self._renew
        return listening

    def _renew(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if self._file.changed():
            try:
                self._current = _context(self._file)
            except ServerError as error:
                _log.error("cannot reload the certificates: %s", error)
        connection.context = self._current


def _context(file: SslFile) -> ssl.SSLContext:
    config = file.read()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        # OpenSSL reads a key from a file alone; this one is its owner's, and gone in a moment.
        with tempfile.NamedTemporaryFile("w") as chain:
            chain.write(f"{config.server_key}\n{config.server_cert}")
            chain.flush()
            context.load_cert_chain(chain.name, password="")
        if config.custom_ca:
            context.load_verify_locations(cadata=config.custom_ca)
    except (ssl.SSLError, ValueError):
        raise InvalidArgument(f"cannot use server_key and server_cert of '{file.path}'") from None
    context.verify_mode = ssl.CERT_REQUIRED if config.client_verify else ssl.CERT_NONE
    return context

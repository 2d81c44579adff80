"""How a client reaches a server: encryption, token, deadlines, retries."""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import grpc

from features.errors import ConfigError, UnavailableError, UsageError
from serving import errors
from serving.config import LAST_PORT, is_loopback
from serving.service_names import CLIENT

#: What stays as it is in the key of a client.
_PLAIN = " !#$&'()*+,/:;<=>?@[]^`{|}~"

#: gRPC itself makes no more attempts than this.
MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class Connection:
    """Where the server is and how to talk to it.

    Attributes:
        target: host and port, as ``127.0.0.1:8500``, or ``unix:PATH``.
        timeout: seconds for each call, all its retries included.
        retries: further attempts, at most 4, at a call that found no server or one that drains; each
            waits about twice as long as the one before.
        token: sent as ``authorization: Bearer TOKEN`` with each call.
        tls: encrypt; also where one of the next three is given.
        root_certificates: PEM text of the authorities to trust; the system's when None.
        private_key: PEM text of the client's key, for a server that asks for certificates.
        certificate: PEM text of the client's certificate.
        client_key: whatever tells clients apart, such as the id of a user: while a canary is under way, all
            requests with one key go to one version. Without it a connection counts as a client.
    """

    target: str
    timeout: float = 30.0
    retries: int = 3
    token: str | None = field(default=None, repr=False)
    tls: bool = False
    root_certificates: bytes | None = field(default=None, repr=False)
    private_key: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    client_key: str | None = None

    def check(self) -> None:
        """Refuse settings that cannot be, or that would show the token.

        Raises:
            ConfigError: says which.
            UsageError: the target is no address.
        """
        if not self._is_address():
            raise UsageError(
                "not the address of a model server",
                got=ascii(self.target),
                expected="HOST:PORT, as 127.0.0.1:8500, without http://",
            )
        if not 0 <= self.retries < MAX_ATTEMPTS:
            raise ConfigError("retries out of range", got=self.retries, expected=f"0 to {MAX_ATTEMPTS - 1}")
        if (self.private_key is None) != (self.certificate is None):
            raise ConfigError(
                "a client certificate needs a certificate and a private key",
                expected="private_key and certificate",
            )
        if self.token and not self.encrypted and not self._is_near():
            raise ConfigError(
                f"the token would be sent to {self.target} unencrypted",
                todo="use TLS: tls=True, or --tls",
            )

    def _is_address(self) -> bool:
        """Return whether gRPC can be asked for the target: it takes a missing host for a fault of its own."""
        web = self.target.lower().startswith(("http://", "https://"))
        _, _, port = self.target.rpartition(":")
        beyond = port.isdecimal() and int(port) > LAST_PORT
        return bool(self.target.strip()) and self.target.isprintable() and not web and not beyond

    def _is_near(self) -> bool:
        return self.target.startswith("unix:") or is_loopback(self.target.rpartition(":")[0])

    @property
    def encrypted(self) -> bool:
        """Whether the channel uses TLS."""
        return self.tls or self.root_certificates is not None or self.certificate is not None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with each call."""
        token = (("authorization", f"Bearer {self.token}"),) if self.token else ()
        # gRPC takes printable ASCII alone.
        key = ((CLIENT, quote(self.client_key, safe=_PLAIN)),) if self.client_key else ()
        return token + key

    def channel(self, module: Any = grpc) -> Any:
        """Open a channel.

        Args:
            module: grpc, or grpc.aio for asyncio.
        """
        self.check()
        if not self.encrypted:
            return module.insecure_channel(self.target, self.options())
        credentials = grpc.ssl_channel_credentials(self.root_certificates, self.private_key, self.certificate)
        return module.secure_channel(self.target, credentials, self.options())

    def options(self) -> list[tuple[str, Any]]:
        """Return the channel's arguments."""
        return [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            # A proxy set for the web must not swallow calls to a server on this machine.
            ("grpc.enable_http_proxy", 0),
            # A retry can only find a server that came up if the channel tries again before it.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.service_config", self.service_config()),
        ]

    def service_config(self) -> str:
        """Describe the retries to gRPC, which waits a random part of each pause."""
        method: dict[str, Any] = {"name": [{}]}
        if self.retries:
            method["retryPolicy"] = {
                "maxAttempts": self.retries + 1,
                "initialBackoff": "0.2s",
                "maxBackoff": "5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": [grpc.StatusCode.UNAVAILABLE.name],
            }
        return json.dumps({"methodConfig": [method]})

    def error(self, error: Any, model: str | None, version: int | None) -> Exception:
        """Make a plain error of a failed call: it carries model, version and the server's words."""
        code, words = error.code(), error.details() or ""
        if code == grpc.StatusCode.UNAVAILABLE and self.encrypted and _is_of_tls(words):
            return UnavailableError(
                f"no TLS connection to {self.target}",
                got=_tls_reason(words),
                todo="check that the server uses TLS, and the authorities to trust",
            )
        closed = any(sign in words for sign in _CLOSED)
        if code == grpc.StatusCode.UNAVAILABLE and self.encrypted and closed:
            return UnavailableError(
                f"no TLS connection to {self.target}",
                got="a connection that the server closed",
                todo="if it requires client certificates, give one that it trusts: --cert FILE --key FILE",
            )
        if code == grpc.StatusCode.UNAVAILABLE:
            return UnavailableError(
                f"no model server at {self.target}",
                got=words.splitlines()[0] if words else None,
                todo="use TLS if the server does: --tls" if closed else "start one with: servable serve",
            )
        return errors.error_of(code, words, model=model, version=version)


#: How gRPC words that a server closed a connection, as one does that misses a client certificate.
_CLOSED = ("Socket closed", "Connection reset", "Broken pipe")


def _is_of_tls(words: str) -> bool:
    return "handshake" in words.lower() or "certificate" in words.lower()


def _tls_reason(words: str) -> str:
    """Return what is wrong with a handshake, out of OpenSSL's words."""
    if "CERTIFICATE_VERIFY_FAILED" in words:
        named = re.search(r"CERTIFICATE_VERIFY_FAILED: ([^:\n]+)", words)
        return f"a certificate that is not trusted ({named[1] if named else 'its authority is unknown'})"
    return "an answer without TLS" if "WRONG_VERSION_NUMBER" in words else words.splitlines()[0]


def no_list(target: str) -> errors.Unimplemented:
    """Make the error for a server that cannot list its models, as TensorFlow Serving cannot."""
    return errors.Unimplemented(
        f"the server at {target} does not list its models; ask for one by name with status()"
    )

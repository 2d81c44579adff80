"""The gRPC server: ports, Unix socket, TLS, health and reflection."""

import logging
import threading
from collections.abc import Iterable
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

from serving import service_names
from serving.config import Options
from serving.engine.workers import Workers
from serving.errors import InvalidArgument, ServerError
from serving.process import listening
from serving.server.admission import Admission
from serving.server.ssl_file import SslFile
from serving.tokens import Tokens

#: Health names: the protocol's own, and the short ones that TensorFlow Serving sets.
PREDICTION_HEALTH = ("", service_names.PREDICTION, "PredictionService")
MODEL_HEALTH = (service_names.MODEL, "ModelService")

_log = logging.getLogger(__name__)


class GrpcServer:
    """Listens for gRPC and lets the handlers answer.

    Args:
        options: where to listen and with what bounds.
        handlers: the services.
        tokens: those of which a call needs one; None for none.

    Raises:
        InvalidArgument: the SSLConfig cannot be read, or its key and certificate do not fit.
        UnavailableError: a port is taken; on start.
    """

    def __init__(
        self, options: Options, handlers: Iterable[grpc.GenericRpcHandler], tokens: Tokens | None = None
    ) -> None:
        self._options = options
        self._credentials = None if options.ssl_config_file is None else Certificates(options.ssl_config_file)
        self._health = health.HealthServicer()
        self._workers = Workers(options.request_threads, "request")
        self._server = grpc.server(
            self._workers,
            handlers=list(handlers),
            interceptors=[] if tokens is None else [Admission(tokens)],
            options=_arguments(options),
            maximum_concurrent_rpcs=options.request_threads + options.queue,
        )
        self.port = options.port

    def start(self) -> None:
        """Listen."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(_reflected(), self._server)
        self.port = self._listen(f"{bracketed(self._options.host)}:{self._options.port}")
        if self._options.grpc_socket_path is not None:
            # A socket file that an ended server left behind is replaced by gRPC itself.
            self._listen(f"unix:{self._options.grpc_socket_path}")
        self._server.start()

    def _listen(self, address: str) -> int:
        try:
            if self._credentials is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, self._credentials.server())
        except RuntimeError:
            reason = listening.obstacle(address)
            if reason is None and self._credentials is not None:
                raise InvalidArgument(
                    f"cannot use server_key and server_cert of '{self._options.ssl_config_file}'"
                ) from None
            raise listening.refusal(address, reason) from None

    def tell(self, *, ready: bool, draining: bool) -> None:
        """Update grpc.health.v1: whether models are available and whether the server accepts requests."""
        serving = health_pb2.HealthCheckResponse.SERVING
        refusing = health_pb2.HealthCheckResponse.NOT_SERVING
        for name in PREDICTION_HEALTH:
            self._health.set(name, serving if ready and not draining else refusing)
        for name in MODEL_HEALTH:
            self._health.set(name, refusing if draining else serving)

    def stop(self, grace: float) -> threading.Event:
        """Refuse new requests, give those in flight some seconds, and give what is set at the end."""
        ended: threading.Event = self._server.stop(grace)
        return ended

    def close(self) -> None:
        """Let the threads end that worked on requests."""
        self._workers.shutdown(wait=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server has ended; True if it still runs when the time is over."""
        running: bool = self._server.wait_for_termination(timeout)
        return running


def _arguments(options: Options) -> list[tuple[str, str | int]]:
    arguments: dict[str, str | int] = {
        "grpc.max_receive_message_length": options.max_message_bytes,
        "grpc.max_send_message_length": options.max_message_bytes,
        # Two servers on one port would each get half of the requests, unless they are one.
        "grpc.so_reuseport": int(options.processes > 1),
        # A connection that never gets to its first request does not stay.
        "grpc.server_handshake_timeout_ms": 10_000,
    }
    # Of an argument given twice gRPC takes the first.
    return list({**arguments, **dict(options.grpc_channel_arguments)}.items())


class Certificates:
    """The key and certificates of an SSLConfig file, read again when the file changes.

    Args:
        path: of the file.

    Raises:
        InvalidArgument: it cannot be read, or holds no key or certificate.
    """

    def __init__(self, path: Path) -> None:
        self._file = SslFile(path)
        self._config = self._read()

    def _read(self) -> grpc.ServerCertificateConfiguration:
        config = self._file.read()
        self._verify = config.client_verify
        return grpc.ssl_server_certificate_configuration(
            [(config.server_key.encode(), config.server_cert.encode())],
            root_certificates=config.custom_ca.encode() or None,
        )

    def server(self) -> grpc.ServerCredentials:
        """Make the credentials of a port, which follow the file."""
        return grpc.dynamic_ssl_server_credentials(self._config, self._changed, self._verify)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        # Called at each handshake; None keeps what is in use.
        if not self._file.changed():
            return None
        try:
            self._config = self._read()
        except ServerError as error:
            _log.error("cannot reload the certificates: %s", error)
            return None
        _log.info("reloaded the certificates of %s", self._file.path)
        return self._config


def _reflected() -> list[str]:
    # Only files of services that were imported can be described to callers.
    files = (prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR)
    described = [service.full_name for file in files for service in file.services_by_name.values()]
    return [*described, health.SERVICE_NAME, reflection.SERVICE_NAME]


def bracketed(host: str) -> str:
    """Put an IPv6 address into brackets, as before a port."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host

"""How a model server is set up."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from features.errors import ConfigError

LAST_PORT = 65_535

#: Largest message protobuf can carry.
MAX_MESSAGE_BYTES = 2**31 - 1

#: Largest body of a REST request, decompressed: parsed JSON takes several times its size in memory.
MAX_REST_BODY_BYTES = 64 << 20

#: Requests worked on at a time where nobody says how many. A request holds its thread while it waits for a
#: batch: too few threads, and there is nobody to share the next one with.
THREADS, BATCHING_THREADS = 16, 64

#: Where the page to try models is served: to this machine alone, to whoever reaches the server, nowhere.
PAGE_LOOPBACK, PAGE_NETWORK, PAGE_OFF = PAGES = ("loopback", "network", "off")


@dataclass(frozen=True)
class Options:
    """Settings of a Server; one of repository, model_base_path, model_config_file says what is served.

    Attributes:
        processes: that listen on the ports; each loads the models.
        process: number of this one.
        metrics_folder: where the processes of a server share their metrics; None of a single one.
        host: address to listen on; other than loopback only with TLS and tokens or client certificates, or
            with insecure_listen.
        port: gRPC port; 0 takes a free one.
        rest_port: port of the REST interface; None for none, 0 takes a free one.
        rest_threads: REST requests that are worked on at a time; 0 means four per processor, or
            BATCHING_THREADS with batching.
        rest_timeout: seconds a REST request may take once its body is there; 0 means no limit.
        rest_cors: answer REST requests with headers that let other web pages call.
        rest_page: where the page to try models is served: PAGE_LOOPBACK, PAGE_NETWORK or PAGE_OFF.
        rest_max_body: largest body of a REST request in bytes, after decompression.
        rest_idle_seconds: seconds an HTTP connection may stay without a whole request header.
        monitoring_config_file: a MonitoringConfig in text format, which can turn on the Prometheus page.
        metrics: have the Prometheus page where the server listens on loopback and no file says whether.
        grpc_socket_path: a Unix socket to listen on for gRPC as well.
        grpc_channel_arguments: further arguments of the gRPC server, by name.
        ssl_config_file: an SSLConfig in text format: gRPC and REST listen with TLS.
        token_file: tokens, one per line, of which every call needs one but for health.
        repository: root of a Repository, followed live: each model's stable version.
        model_name: name under which model_base_path is served.
        model_base_path: a folder of version directories.
        model_labels: follow the labels beside the versions of model_base_path, as a copy of an object store
            has them.
        model_config_file: a ModelServerConfig in text format.
        model_config_poll_seconds: seconds between two readings of model_config_file; 0 reads it once.
        poll_seconds: seconds between two looks at the file system; 0 looks once, below 0 never.
        grace: seconds that requests in flight have to finish on stop.
        threads: requests that are worked on at a time; 0 means THREADS, or BATCHING_THREADS with batching.
        queue: requests that may wait beyond those before RESOURCE_EXHAUSTED answers.
        load_threads: versions that load at a time.
        max_load_retries: tries after a load failed while its files stay as they are.
        load_retry_seconds: pause between those tries.
        warmup: replay assets.extra/tf_serving_warmup_requests before a version answers.
        warmup_iterations: how often each warmup record is replayed.
        tags: tags of the MetaGraphDef to load.
        session_config_file: a ConfigProto in text format for the sessions.
        inter_op_threads: threads that run independent operations of one request; -1 runs them in the
            caller's thread, 0 lets TensorFlow choose.
        intra_op_threads: threads within one operation; 0 lets TensorFlow choose.
        prefer_tflite: serve the model.tflite of a version directory that has one.
        tflite_interpreters: runs of such a model at a time; 0 means one per processor.
        batching: put concurrent requests together, as batching_parameters_file says.
        auto_batching: put requests together that arrive while the model is busy, where that changes no
            answer; not with batching.
        batching_parameters_file: a BatchingParameters in text format.
        per_model_batching: read each version's own batching_params.pbtxt in place of that file's sizes.
        labels_for_unavailable: allow a label on a version that is not loaded yet.
        content_responses: answer Predict with tensor_content instead of typed fields.
        allowed_model_roots: folders, beside those named here, below which a configuration that arrives
            over the network may name base paths.
        check_method_names: insist on the method names of signatures.
        insecure_listen: allow an address other than loopback without those.
        max_message_bytes: largest request and answer.
        profiler: answer TensorFlow's ProfilerService.
        request_log: file that takes a sample of the answered Predict requests; None for none.
        request_log_share: of the requests, that are logged.
    """

    processes: int = 1
    process: int = 0
    metrics_folder: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8500
    rest_port: int | None = None
    rest_threads: int = 0
    rest_timeout: float = 30.0
    rest_cors: bool = False
    rest_page: str = PAGE_LOOPBACK
    rest_max_body: int = MAX_REST_BODY_BYTES
    rest_idle_seconds: float = 10.0
    monitoring_config_file: Path | None = None
    metrics: bool = False
    grpc_socket_path: Path | None = None
    grpc_channel_arguments: tuple[tuple[str, str | int], ...] = ()
    ssl_config_file: Path | None = None
    token_file: Path | None = None
    repository: Path | None = None
    model_name: str = "default"
    model_base_path: Path | None = None
    model_labels: bool = False
    model_config_file: Path | None = None
    model_config_poll_seconds: float = 0.0
    poll_seconds: float = 1.0
    grace: float = 30.0
    threads: int = 0
    queue: int = 1024
    load_threads: int = 1
    max_load_retries: int = 5
    load_retry_seconds: float = 60.0
    warmup: bool = True
    warmup_iterations: int = 1
    tags: tuple[str, ...] = ("serve",)
    session_config_file: Path | None = None
    inter_op_threads: int = -1
    intra_op_threads: int = 0
    prefer_tflite: bool = False
    tflite_interpreters: int = 0
    batching: bool = False
    auto_batching: bool = False
    batching_parameters_file: Path | None = None
    per_model_batching: bool = False
    labels_for_unavailable: bool = False
    content_responses: bool = False
    allowed_model_roots: tuple[Path, ...] = ()
    check_method_names: bool = False
    insecure_listen: bool = False
    max_message_bytes: int = MAX_MESSAGE_BYTES
    profiler: bool = True
    request_log: Path | None = None
    request_log_share: float = 0.1

    @property
    def request_threads(self) -> int:
        """Requests of gRPC that are worked on at a time."""
        return self.threads or (BATCHING_THREADS if self._batches else THREADS)

    @property
    def rest_request_threads(self) -> int:
        """Requests of REST that are worked on at a time."""
        return self.rest_threads or (BATCHING_THREADS if self._batches else 4 * (os.cpu_count() or 1))

    @property
    def _batches(self) -> bool:
        return self.batching or self.auto_batching

    def of_process(self, path: Path) -> Path:
        """Return the file of this process: with a number before the suffix where there are several."""
        return path if self.processes == 1 else path.with_name(f"{path.stem}-{self.process}{path.suffix}")

    @property
    def has_page(self) -> bool:
        """Whether the page to try models is served."""
        return self.rest_page == PAGE_NETWORK or (self.rest_page == PAGE_LOOPBACK and is_loopback(self.host))

    def check(self) -> None:
        """Refuse settings that contradict each other or expose the server.

        Raises:
            ConfigError: says which.
        """
        sources = [self.repository, self.model_base_path, self.model_config_file]
        if sum(value is not None for value in sources) != 1:
            raise ConfigError(
                "no model to serve, or more than one source of models",
                expected="one of a repository, model_base_path and model_config_file",
            )
        for name, port in (("port", self.port), ("rest_port", self.rest_port or 0)):
            if not 0 <= port <= LAST_PORT:
                raise ConfigError(f"invalid {name}", got=port, expected=f"0 to {LAST_PORT}")
        if self.processes < 1:
            raise ConfigError("invalid number of processes", got=self.processes, expected="1 or more")
        if self.processes > 1 and self.grpc_socket_path is not None:
            raise ConfigError(
                "a Unix socket belongs to one process",
                got=f"{self.processes} processes and {self.grpc_socket_path}",
                todo="leave out --grpc_socket_path or --processes",
            )
        if not 0 < self.request_log_share <= 1:
            raise ConfigError(
                "invalid share of requests to log",
                got=self.request_log_share,
                expected="above 0, at most 1",
                todo="leave --request_log out to log none",
            )
        if not (self.insecure_listen or self.ssl_config_file or is_loopback(self.host)):
            raise exposed(self.host)


def exposed(host: str) -> ConfigError:
    """Make the error of a server that anybody on the network could call, or listen to."""
    return ConfigError(
        "refusing to listen on the network without authentication and encryption",
        got=f"host {host}",
        expected="a loopback address, or TLS and tokens or client certificates",
        todo="use 127.0.0.1, add --ssl_config_file and --token_file, or allow it with --insecure_listen",
    )


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable only from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

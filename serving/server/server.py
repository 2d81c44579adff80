"""The embedded model server."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from features.errors import ConfigError
from serving import text_configs
from serving.config import Options, exposed, is_loopback
from serving.engine.batching.batcher import Batcher
from serving.engine.batching.joining import Joiner
from serving.engine.batching.parameters import JOINED_ROWS, Parameters, parameters_for
from serving.engine.core import PLATFORM, Core, Live
from serving.engine.manager import LoadPolicy, Manager
from serving.engine.servable import Servable, Served, SessionOptions
from serving.engine.states import StateMonitor, VersionState
from serving.errors import ServerError
from serving.inference import services as service
from serving.inference import warmup
from serving.inference.request_log import RequestLog
from serving.inference.request_logs import RequestLogs
from serving.metrics import PATH as METRICS_PATH
from serving.metrics import Metrics
from serving.repository.labels import mirrored_labels
from serving.repository.repository import Repository
from serving.rest.api import RestApi
from serving.rest.callers import Callers
from serving.rest.http_server import RestServer
from serving.rest.routes import LIST, PAGE
from serving.server import grpc_handlers
from serving.server.grpc_server import GrpcServer, bracketed
from serving.server.ssl_file import HttpsContext, SslFile
from serving.tokens import Tokens

_log = logging.getLogger(__name__)


class Server:
    """Speaks TensorFlow Serving's gRPC API for the models that its options name.

    Args:
        options: what to serve and where.

    Raises:
        ConfigError: the options contradict each other or would expose the server.
        ServerError: a file that they name cannot be read or parsed.
    """

    def __init__(self, options: Options) -> None:
        options.check()
        _check_callers(options)
        self.options = options
        self._tokens = None if options.token_file is None else Tokens(options.token_file)
        self._logs = RequestLogs(_request_log(options), options.of_process)
        self._core = _core(options, self._tell_health, self._logs.follow)
        self._services = _services(options, self._core, self._logs)
        self.metrics = Metrics(options.metrics_folder)
        handlers = grpc_handlers.handlers(self._services, self.metrics, profiler=options.profiler)
        self._grpc = GrpcServer(options, handlers, self._tokens)
        self._listens = False
        self._rest: RestServer | None = None
        self._stopping = threading.Lock()
        self._ended = threading.Event()
        self._draining = False
        self._stopped = False

    def start(self) -> "Server":
        """Listen, load the models, and return when each of them answers or has failed to load.

        While models load, health says NOT_SERVING and a request gets NOT_FOUND.

        Raises:
            UnavailableError: the port is taken.
            ServerError: the configuration of the models is refused.
        """
        self._tell_health()
        self._grpc.start()
        self._listens = True
        try:
            self._start_rest(self._services)
            self._core.reload(_config(self.options))
            self._core.start()
        except BaseException:
            self.stop(0)
            raise
        self._follow_config_file()
        self._tell_health()
        return self

    def require_models(self) -> None:
        """Check that what was requested is served, or will be tried again; as of `Core.require_models`."""
        self._core.require_models()

    def _start_rest(self, services: service.Services) -> None:
        options = self.options
        if options.rest_port is None:
            return
        api = RestApi(
            services,
            self._core,
            self.metrics,
            metrics_path=prometheus_path(options),
            cors=options.rest_cors,
            page=options.has_page,
        )
        self._rest = RestServer(
            api,
            Callers(options.host, options.rest_cors, frozenset({PAGE, LIST})),
            host=options.host,
            port=options.rest_port,
            threads=options.rest_request_threads,
            queue=options.queue,
            timeout=options.rest_timeout,
            max_body=options.rest_max_body,
            idle_seconds=options.rest_idle_seconds,
            tls=None if options.ssl_config_file is None else HttpsContext(options.ssl_config_file).made(),
            tokens=self._tokens,
            shared=options.processes > 1,
        )
        self._rest.start()

    def _follow_config_file(self) -> None:
        seconds, path = self.options.model_config_poll_seconds, self.options.model_config_file
        if path is None or seconds <= 0:
            return

        def repeat() -> None:
            while not self._ended.wait(seconds):
                try:
                    self._core.reload(text_configs.model_server_config(path))
                except ServerError as error:
                    _log.error("cannot reload the model config file: %s", error)

        threading.Thread(target=repeat, name="config-poll", daemon=True).start()

    def _tell_health(self) -> None:
        self._grpc.tell(ready=self._core.is_ready(), draining=self._draining)

    @property
    def port(self) -> int:
        """The gRPC port.

        Raises:
            ConfigError: the server was not started.
        """
        if not self._listens:
            raise ConfigError("the server has no port yet", todo="call start() first")
        return self._grpc.port

    @property
    def target(self) -> str:
        """The address for a client: host and port."""
        return f"{bracketed(self.options.host)}:{self.port}"

    @property
    def rest_port(self) -> int | None:
        """The REST port, or None if REST is off."""
        return None if self._rest is None else self._rest.port

    @property
    def rest_target(self) -> str | None:
        """The address of the REST interface: host and port, or None if it is off."""
        return None if self._rest is None else f"{bracketed(self.options.host)}:{self._rest.port}"

    @property
    def ready(self) -> bool:
        """Whether every configured model answers."""
        return self._core.is_ready() and not self._draining

    def stop(self, grace: float | None = None) -> None:
        """Drain and end: health turns NOT_SERVING, new requests are refused, those in flight finish.

        Args:
            grace: seconds that requests in flight have; the option's value when None.
        """
        with self._stopping:
            if self._stopped:
                return
            self._draining = True
            self._ended.set()
            self._tell_health()
            grace = self.options.grace if grace is None else grace
            ended = self._grpc.stop(grace)
            if self._rest is not None:
                self._rest.stop(grace)
            ended.wait()
            self._core.close()
            self._grpc.close()
            self.metrics.close()
            self._logs.close()
            self._stopped = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server has ended; True if it still runs when the time is over."""
        return self._grpc.wait(timeout)

    def __enter__(self) -> "Server":
        return self if self._listens else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _check_callers(options: Options) -> None:
    """Refuse to listen on the network where nothing tells one caller from another.

    Raises:
        ConfigError: there is neither a token nor a client's certificate.
    """
    if options.insecure_listen or options.token_file is not None or is_loopback(options.host):
        return
    if options.ssl_config_file is None or not SslFile(options.ssl_config_file).read().client_verify:
        raise exposed(options.host)


class _Told(StateMonitor):
    """A monitor that says when a state changed."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def publish(self, model: str, version: int, state: VersionState) -> None:
        super().publish(model, version, state)
        self._tell()


def _core(options: Options, tell: Callable[[], None], taking: Callable[[dict[str, Any]], None]) -> Core:
    common = _batching(options)
    session = SessionOptions(
        tags=options.tags,
        inter_op_threads=options.inter_op_threads,
        intra_op_threads=options.intra_op_threads or _threads_of_a_run(options, common),
        config_file=options.session_config_file,
    )

    session.proto()  # a file that cannot be used is a fault of the start, and not of each model

    def load(name: str, version: int, path: Path) -> Served:
        servable = _servable(options, session, name, version, path)
        if options.warmup:
            warmup.replay(servable, iterations=options.warmup_iterations)
        parameters = common and parameters_for(path, common, own=options.per_model_batching)
        if parameters:
            return Batcher(servable, parameters)
        return Joiner(servable) if options.auto_batching else servable

    policy = LoadPolicy(options.load_threads, options.max_load_retries, options.load_retry_seconds)
    return Core(
        Manager(load, _Told(tell), policy),
        allow_unavailable_labels=options.labels_for_unavailable,
        poll_seconds=options.poll_seconds,
        live=_live(options),
        taking=taking,
    )


def _live(options: Options) -> Callable[[], Live] | None:
    """Return what tells the configuration anew at each look at the disk; None if it stays as it is."""
    if options.repository is not None:
        return Repository(options.repository).live
    base = options.model_base_path
    if base is None or not options.model_labels:
        return None
    return lambda: mirrored_labels.live(options.model_name, base.absolute())


def _servable(options: Options, session: SessionOptions, name: str, version: int, path: Path) -> Served:
    if options.prefer_tflite:
        # Imported where it is used: it takes TensorFlow Lite's libraries along.
        from serving.engine import lite

        if lite.is_lite(path):
            return lite.LiteServable(name, version, path, options.tflite_interpreters)
    return Servable(name, version, path, session)


def _batching(options: Options) -> Parameters | None:
    if not options.batching:
        return None
    file = options.batching_parameters_file
    return Parameters(joined_rows=JOINED_ROWS) if file is None else Parameters.read(file)


def _threads_of_a_run(options: Options, common: Parameters | None) -> int:
    """Share the processors out among processes and the batches that run at a time; 0 leaves it to TensorFlow.

    Left to it, every batch uses all processors, and batches that run at the same time cut each other's
    operations into parts that wait for one another: a tenth to a third more work for an image classifier on
    two cores (docs/performance.md).
    """
    if options.session_config_file is not None:
        return 0
    processors = (os.cpu_count() or 1) // options.processes
    if common is None or options.per_model_batching:
        return max(1, processors) if options.processes > 1 else 0
    return max(1, processors // common.num_batch_threads)


def _request_log(options: Options) -> RequestLog | None:
    if options.request_log is None:
        return None
    try:
        return RequestLog(options.of_process(options.request_log), options.request_log_share)
    except OSError as error:
        raise ConfigError(
            f"cannot write the request log {options.request_log}", got=error.strerror
        ) from error


def _services(options: Options, core: Core, logs: RequestLogs) -> service.Services:
    return service.Services(
        core,
        content=options.content_responses,
        check_methods=options.check_method_names,
        allowed_roots=model_roots(options),
        logs=logs,
        alone=options.processes == 1,
    )


def model_roots(options: Options) -> list[Path]:
    """Return the folders that a configuration sent over the network may load from.

    These are the repository, the base paths named at the start, and what the options add.
    """
    named = [*options.allowed_model_roots, options.repository, options.model_base_path]
    if options.model_config_file is not None:
        config = text_configs.model_server_config(options.model_config_file)
        named += [Path(entry.base_path) for entry in config.model_config_list.config]
    return [Path(root).absolute() for root in named if root is not None]


def _config(options: Options) -> model_server_config_pb2.ModelServerConfig:
    if live := _live(options):
        return live()[0]
    if options.model_config_file is not None:
        return text_configs.model_server_config(options.model_config_file)
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=options.model_name,
        base_path=str(options.model_base_path and options.model_base_path.absolute()),
        model_platform=PLATFORM,
    )
    return config


def prometheus_path(options: Options) -> str | None:
    """Return the path of the Prometheus page, or None if it is off.

    Raises:
        InvalidArgument: the MonitoringConfig cannot be read or parsed.
    """
    if options.monitoring_config_file is None:
        return METRICS_PATH if options.metrics and is_loopback(options.host) else None
    config = text_configs.monitoring_config(options.monitoring_config_file).prometheus_config
    return (config.path or METRICS_PATH) if config.enable else None

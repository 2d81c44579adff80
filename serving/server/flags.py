"""tensorflow_model_server's flags: those honoured, those taken in silence, those refused by name."""

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from features.errors import ConfigError, UsageError
from features.storage.objects import is_url
from serving.config import MAX_REST_BODY_BYTES, PAGE_LOOPBACK, PAGES, Options
from serving.process import logs

#: REST port of ``servable serve`` if none is given.
DEFAULT_REST_PORT = 8501

#: Tuning flags of the real server whose absence changes no answer: taken, with no effect.
WITHOUT_EFFECT = {
    "flush_filesystem_caches": "files are read once",
    "num_unload_threads": "versions are unloaded by one thread of their own",
    "remove_unused_fields_from_bundle_metagraph": "a memory setting of the C++ server",
    "enable_grpc_healthcheck_service": "grpc.health.v1 is always there",
    "skip_initialize_tpu": "no TPU is used",
    "num_tflite_interpreters_per_pool": "requests of TFLite models are joined as those of others",
}

#: Flags that ask for something this server does not have.
REFUSED = {
    "use_alts_credentials": "ALTS works on Google's own network alone",
    "platform_config_file": "only the TensorFlow platform is there",
    "xla_gpu_compilation_enabled": "set TF_XLA_FLAGS in the environment",
    "xla_cpu_compilation_enabled": "set TF_XLA_FLAGS in the environment",
    "thread_pool_factory_config_file": "thread pools are TensorFlow's own",
    "mixed_precision": "convert the model before it is published",
    "per_process_gpu_memory_fraction": "set gpu_options in --tensorflow_session_config_file",
}


@dataclass(frozen=True)
class Parsed:
    """What the command line asks for: options, or a message to print instead of serving.

    Attributes:
        options: of the server.
        message: to print instead; None to serve.
        log_format: of logs.FORMATS.
        followed: the URL of a model whose versions are downloaded to ``options.model_base_path``.
    """

    options: Options
    message: str | None = None
    log_format: str = logs.TEXT
    followed: str | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message, todo="see: servable serve --help")


class _Help(argparse.HelpFormatter):
    """Names values by their kind: those of the flags' names would make lines of over a hundred characters."""

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        words = {int: "N", float: "N", boolean: "true|false", _path: "FILE", _place: "FOLDER"}
        return words.get(action.type, "TEXT")


def boolean(text: str) -> bool:
    """Read a flag's value as the real server does: true, 1, false or 0, in any case."""
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"invalid boolean: {text!r}")
    return values[text.lower()]


def parser() -> argparse.ArgumentParser:
    """Make the parser of all flags."""
    flags = _Parser(
        prog="servable serve",
        usage="servable serve [FLAGS]",
        description="Serve models with the flags of TensorFlow Serving's tensorflow_model_server.",
        formatter_class=_Help,
        add_help=False,
        allow_abbrev=False,
    )
    flags.add_argument("--help", action="store_true", help="show this message and exit")
    _add_boolean(flags, "version", "show versions and exit")
    flags.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; beyond loopback with TLS and tokens"
    )
    _add_boolean(flags, "insecure_listen", "allow an address that others can reach, without TLS and tokens")
    flags.add_argument(
        "--processes", type=int, default=1, help="processes that listen on the ports, each with the models"
    )
    flags.add_argument(
        "--port", type=int, default=8500, help="gRPC port, 8500 by default; 0 chooses a free one"
    )
    flags.add_argument(
        "--grace_seconds", type=float, default=30.0, help="seconds for requests in progress on SIGTERM"
    )
    flags.add_argument(
        "--log_format", choices=logs.FORMATS, default=logs.TEXT, help="log lines as text or as JSON objects"
    )
    _add_grpc(flags)
    _add_rest(flags)
    _add_models(flags)
    _add_loading(flags)
    _add_session(flags)
    for name in (*WITHOUT_EFFECT, *REFUSED):
        flags.add_argument(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    return flags


def _add_grpc(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("--grpc_socket_path", type=_path, help="Unix socket to listen on as well")
    flags.add_argument(
        "--grpc_max_threads",
        type=int,
        default=0,
        help="concurrent requests; 0: 16, or 64 with batching",
    )
    flags.add_argument(
        "--grpc_channel_arguments",
        type=_channel_arguments,
        default=(),
        help="comma-separated name=value pairs",
    )
    flags.add_argument(
        "--ssl_config_file", type=_path, help="SSLConfig in text format: gRPC and REST with TLS"
    )
    flags.add_argument(
        "--token_file", type=_path, help="bearer tokens, one per line; every call but health needs one"
    )
    _add_boolean(flags, "enable_profiler", "answer TensorFlow's ProfilerService", default=True)
    _add_boolean(flags, "enable_serialization_as_tensor_content", "answer Predict with tensor_content")


def _add_rest(flags: argparse.ArgumentParser) -> None:
    flags.add_argument(
        "--rest_api_port", type=int, help="REST port; 0 chooses a free one, a negative value disables REST"
    )
    flags.add_argument(
        "--rest_api_num_threads",
        type=int,
        default=0,
        help="threads for REST requests; 0: four per processor, or 64 with batching",
    )
    flags.add_argument(
        "--rest_api_timeout_in_ms", type=float, default=30_000, help="timeout of a REST request; 0: none"
    )
    _add_boolean(flags, "rest_api_enable_cors_support", "send CORS headers, so that other web pages can call")
    flags.add_argument(
        "--rest_api_page",
        choices=PAGES,
        default=PAGE_LOOPBACK,
        help="where / is a page to try models: on a loopback address, on the network as well, or off",
    )
    flags.add_argument(
        "--rest_api_max_body_bytes",
        type=int,
        default=MAX_REST_BODY_BYTES,
        help="largest REST body, after decompression",
    )
    flags.add_argument("--monitoring_config_file", type=_path, help="MonitoringConfig in text format")
    flags.add_argument(
        "--request_log", type=_path, help="file that takes a sample of requests and answers, as TFRecord"
    )
    flags.add_argument(
        "--request_log_share", type=float, default=0.1, help="share of the requests that are logged"
    )


def _add_session(flags: argparse.ArgumentParser) -> None:
    _add_boolean(
        flags,
        "enable_batching",
        "combine concurrent requests into batches; without the flag, models of the workspace combine "
        "those that arrive while the model is busy",
        default=None,
    )
    flags.add_argument("--batching_parameters_file", type=_path, help="BatchingParameters in text format")
    _add_boolean(
        flags, "enable_per_model_batching_parameters", "read each version's own batching_params.pbtxt"
    )
    for name, text in (
        ("tensorflow_session_parallelism", "threads of a session: sets the following two"),
        ("tensorflow_inter_op_parallelism", "threads for independent operations of one request"),
        ("tensorflow_intra_op_parallelism", "threads within one operation"),
    ):
        flags.add_argument(f"--{name}", type=int, default=0, help=f"{text}; 0: automatic")
    flags.add_argument("--tensorflow_session_config_file", type=_path, help="ConfigProto in text format")


def _path(text: str) -> Path | None:
    # An empty path means none, as in the real server.
    return Path(text) if text else None


def _place(text: str) -> Path | str | None:
    return text if is_url(text) else _path(text)


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(word) for word in text.split(",") if word)


def _channel_arguments(text: str) -> tuple[tuple[str, str | int], ...]:
    pairs = [word.partition("=") for word in text.split(",") if word]
    if not all(name and separator for name, separator, _ in pairs):
        raise argparse.ArgumentTypeError(f"expected comma-separated name=value pairs: {text!r}")
    return tuple((name, int(value) if value.lstrip("-").isdigit() else value) for name, _, value in pairs)


def _add_models(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("--model_name", default="default", help="name of the model in --model_base_path")
    flags.add_argument(
        "--model_base_path", type=_place, help="folder of version directories, on disk or at s3:// or gs://"
    )
    flags.add_argument("--model_config_file", type=_path, help="ModelServerConfig in text format")
    flags.add_argument(
        "--model_config_file_poll_wait_seconds",
        type=float,
        default=0,
        help="seconds between checks of the file; 0: read it once",
    )
    flags.add_argument(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1,
        help="seconds between checks for versions; 0: once, negative: never",
    )
    _add_boolean(
        flags, "allow_version_labels_for_unavailable_models", "allow new labels on versions not loaded yet"
    )
    flags.add_argument("--saved_model_tags", default="serve", help="comma-separated tags of the MetaGraphDef")
    flags.add_argument(
        "--allowed_model_roots",
        type=_paths,
        default=(),
        help="comma-separated further folders that a client's HandleReloadConfigRequest may load",
    )
    _add_boolean(flags, "enable_signature_method_name_check", "check the method names of signatures")


def _add_loading(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("--num_load_threads", type=int, default=1, help="versions to load in parallel")
    flags.add_argument("--max_num_load_retries", type=int, default=5, help="retries after a failed load")
    flags.add_argument(
        "--load_retry_interval_micros", type=int, default=60_000_000, help="microseconds between retries"
    )
    _add_boolean(
        flags,
        "enable_model_warmup",
        "replay a model's warmup requests before it becomes available",
        default=True,
    )
    flags.add_argument(
        "--num_request_iterations_for_warmup", type=int, default=1, help="repetitions of each warmup request"
    )
    _add_boolean(flags, "prefer_tflite_model", "serve a version's model.tflite where it has one")
    flags.add_argument(
        "--num_tflite_pools",
        type=int,
        default=0,
        help="runs of a TFLite model at a time; 0: one per processor",
    )


def _add_boolean(
    flags: argparse.ArgumentParser, name: str, text: str, *, default: bool | None = False
) -> None:
    flags.add_argument(f"--{name}", type=boolean, nargs="?", const=True, default=default, help=text)


def parse(argv: Sequence[str], repository: Path | None = None) -> Parsed:
    """Read the flags.

    Args:
        argv: flags, with one or two hyphens, as ``--port=8500`` or ``--port 8500``.
        repository: what to serve where no flag names a model.

    Raises:
        UsageError: a flag is unknown or its value cannot be read.
        ConfigError: a flag asks for what this server does not have, or nothing says what to serve.
    """
    flags = parser()
    values = flags.parse_args([_two_hyphens(word) for word in argv])
    for name, reason in REFUSED.items():
        if getattr(values, name) not in (None, "", "false", "0", "0.0"):
            raise ConfigError(f"--{name} is not supported", got=getattr(values, name), todo=reason)
    if values.help:
        return Parsed(Options(), flags.format_help())
    if values.version:
        return Parsed(Options(), version_text())
    base = values.model_base_path
    followed = base if isinstance(base, str) and values.model_config_file is None else None
    if followed is not None:
        values.model_base_path = _copies(followed, repository)
    options = replace(_options(values, repository), model_labels=followed is not None)
    return Parsed(options, log_format=values.log_format, followed=followed)


def _copies(url: str, repository: Path | None) -> Path:
    """Return the folder for the versions at a URL: beside the repository, else in the user's cache."""
    near = repository.parent if repository is not None else Path.home() / ".cache" / "servable"
    return near / "objects" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


def _two_hyphens(word: str) -> str:
    return f"-{word}" if word.startswith("-") and not word.startswith("--") and word[1:2].isalpha() else word


def version_text() -> str:
    """Return the versions of the server and of TensorFlow, one per line."""
    own, tensorflow = metadata.version("servable"), metadata.version("tensorflow")
    return f"Servable ModelServer: {own}\nTensorFlow Library: {tensorflow}"


def _options(values: argparse.Namespace, repository: Path | None) -> Options:
    file, base = values.model_config_file, values.model_base_path
    if file is None and base is None and repository is None:
        raise ConfigError(
            "no model to serve",
            expected="--model_base_path or --model_config_file",
            todo="pass one of them",
        )
    _check(values)
    served = repository if file is None and base is None else None
    settings = {**_doors(values, served=repository is not None), **_loading(values)}
    return Options(
        repository=served,
        auto_batching=served is not None and values.enable_batching is None,
        model_name=values.model_name,
        model_base_path=base if file is None else None,
        model_config_file=file,
        model_config_poll_seconds=values.model_config_file_poll_wait_seconds,
        poll_seconds=values.file_system_poll_wait_seconds,
        labels_for_unavailable=values.allow_version_labels_for_unavailable_models,
        allowed_model_roots=values.allowed_model_roots,
        check_method_names=values.enable_signature_method_name_check,
        **settings,
    )


def _check(values: argparse.Namespace) -> None:
    if values.batching_parameters_file and not values.enable_batching:
        raise ConfigError(
            "server_options.batching_parameters_file is set without setting "
            "server_options.enable_batching to true.",
            todo="add --enable_batching",
        )
    parallelism = ("session", "inter_op", "intra_op")
    if all(getattr(values, f"tensorflow_{name}_parallelism") > 0 for name in parallelism):
        raise ConfigError(
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, "
            "server_options.tensorflow_inter_op_parallelism) separately. You cannot configure all."
        )


def _doors(values: argparse.Namespace, *, served: bool) -> dict[str, Any]:
    return {
        "processes": values.processes,
        "host": values.host,
        "port": values.port,
        "insecure_listen": values.insecure_listen,
        "grace": values.grace_seconds,
        "threads": values.grpc_max_threads,
        "content_responses": values.enable_serialization_as_tensor_content,
        "grpc_socket_path": values.grpc_socket_path,
        "grpc_channel_arguments": values.grpc_channel_arguments,
        "ssl_config_file": values.ssl_config_file,
        "token_file": values.token_file,
        "rest_port": _rest_port(values, served=served),
        "rest_threads": values.rest_api_num_threads,
        "rest_timeout": values.rest_api_timeout_in_ms / 1000,
        "rest_cors": values.rest_api_enable_cors_support,
        "rest_page": values.rest_api_page,
        "rest_max_body": values.rest_api_max_body_bytes,
        "monitoring_config_file": values.monitoring_config_file,
        "metrics": served,
        "profiler": values.enable_profiler,
        "request_log": values.request_log,
        "request_log_share": values.request_log_share,
    }


def _rest_port(values: argparse.Namespace, *, served: bool) -> int | None:
    port: int | None = values.rest_api_port
    if port is None:
        # The real binary has no REST unless asked; `servable serve` has it beside its gRPC port.
        return (DEFAULT_REST_PORT if values.port else 0) if served else None
    return port if port >= 0 else None


def _loading(values: argparse.Namespace) -> dict[str, Any]:
    both = values.tensorflow_session_parallelism
    return {
        "load_threads": values.num_load_threads,
        "max_load_retries": values.max_num_load_retries,
        "load_retry_seconds": values.load_retry_interval_micros / 1e6,
        "warmup": values.enable_model_warmup,
        "warmup_iterations": values.num_request_iterations_for_warmup,
        "tags": tuple(values.saved_model_tags.split(",")),
        "session_config_file": values.tensorflow_session_config_file,
        "prefer_tflite": values.prefer_tflite_model,
        "tflite_interpreters": values.num_tflite_pools,
        "inter_op_threads": values.tensorflow_inter_op_parallelism or both or -1,
        "intra_op_threads": values.tensorflow_intra_op_parallelism or both,
        "batching": bool(values.enable_batching),
        "batching_parameters_file": values.batching_parameters_file,
        "per_model_batching": values.enable_per_model_batching_parameters,
    }

"""The server's core: configuration, version labels, and the way from a ModelSpec to a Servable."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from grpc import StatusCode

from serving.engine.manager import Manager
from serving.engine.servable import Served
from serving.engine.source import aspired_versions, identity, versions_on_disk
from serving.engine.states import State, StateMonitor
from serving.engine.trial import Client, Trial
from serving.errors import (
    ERRORS,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    ServerError,
    Unavailable,
    Unknown,
    code_of,
    error_of,
    words_of,
)
from serving.repository import traffic
from serving.repository.labels.labels import STABLE, Canary

Answer = TypeVar("Answer")

#: A configuration, and the canaries by model.
Live = tuple[Any, dict[str, Canary]]

PLATFORM = "tensorflow"
_log = logging.getLogger(__name__)


class Core:
    """Models by name, as their configuration says, kept up to date with the disk.

    Args:
        manager: holds the versions.
        allow_unavailable_labels: labels may name versions that are not available yet.
        poll_seconds: between looks at the base paths; 0 looks once, negative never.
        live: returns the configuration and the canaries of a repository anew at each look, or None.
        taking: told of a configuration's models by name before they are taken; what it raises refuses them.
    """

    def __init__(
        self,
        manager: Manager,
        *,
        allow_unavailable_labels: bool = False,
        poll_seconds: float = 1.0,
        live: Callable[[], Live] | None = None,
        taking: Callable[[dict[str, Any]], None] = lambda models: None,
    ) -> None:
        self._taking = taking
        self.manager = manager
        self.monitor: StateMonitor = manager.monitor
        self._allow_unavailable = allow_unavailable_labels
        self._poll_seconds = poll_seconds
        self._live = live
        self._trials: dict[str, Trial] = {}
        self._file = traffic.name()
        self._models: dict[str, Any] = {}
        self._labels: dict[str, dict[str, tuple[int, ...]]] = {}
        # The folders in which versions were last found.
        self._bases: dict[str, tuple[int, int] | None] = {}
        self._config_lock = threading.RLock()
        self._stop = threading.Event()
        self._poller: threading.Thread | None = None
        self.is_open = False

    # Requests

    def lease(self, spec: Any) -> AbstractContextManager[Served]:
        """Hold the servable a ModelSpec names for the length of a request.

        Raises:
            InvalidArgument: it names no model, or an unknown label.
            NotFound: no such version is available.
            Unavailable: the first models are still being loaded.
        """
        if not self.is_open:
            raise Unavailable("the server is loading its models")
        return self.manager.use(spec.name, self.version_of(spec))

    def answer(self, spec: Any, client: Client, call: Callable[[Served], Answer]) -> Answer:
        """Compute an answer with the version a ModelSpec names, or that a canary's trial chooses.

        Args:
            spec: the ModelSpec.
            client: tells what the client is known by.
            call: computes the answer.

        Raises:
            InvalidArgument, NotFound, Unavailable: as of `lease`.
        """
        trial = self._trials.get(spec.name)
        if trial is not None and self.is_open and spec.WhichOneof("version_choice") is None:
            return trial.answer(self.manager, client, call)
        with self.lease(spec) as servable:
            return call(servable)

    def version_of(self, spec: Any) -> int | None:
        """Return the version in a ModelSpec, or None for the latest.

        Raises:
            InvalidArgument: it names no model, or an unknown label.
        """
        if not spec.name:
            raise InvalidArgument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return spec.version.value
        if choice == "version_label":
            return self.labelled(spec.name, spec.version_label)
        return None

    def labelled(self, model: str, label: str) -> int:
        """Return the version of a label.

        Raises:
            InvalidArgument: there is no such label.
        """
        candidates = self._labels.get(model, {}).get(label)
        if candidates is None:
            raise InvalidArgument(f"Unrecognized servable version label: {label}", model=model)
        if len(candidates) > 1:
            ready = set(self.manager.available(model))
            return next((number for number in candidates if number in ready), candidates[0])
        return candidates[0]

    # Configuration

    def reload(self, config: Any) -> None:
        """Take a new ModelServerConfig and wait until its new models were tried.

        Raises:
            InvalidArgument, FailedPrecondition: the configuration is refused.
            Unknown: a new model did not become available.
        """
        with self._config_lock:
            if config.WhichOneof("config") is None:
                return
            models = validated(config)
            for name, entry in models.items():
                old = self._models.get(name)
                if old is not None and old.model_platform != entry.model_platform:
                    raise InvalidArgument(
                        f"Illegal to change a model's platform. For model {name} platform was "
                        f"{old.model_platform} and new platform requested is {entry.model_platform}"
                    )
            labels = self._new_labels(models)
            self._taking(models)
            self._labels = labels
            new = sorted(models.keys() - self._models.keys())
            first = not self.is_open
            self._replace(models)
            if self._live is not None:
                self._begin_trials(self._live()[1])
            self._aspire_all()
        self._await(new)
        # At the start a model that failed is told by status and health; others may serve meanwhile.
        if not first:
            self._check_available(new)

    def _replace(self, models: dict[str, Any]) -> None:
        for gone in self._models.keys() - models.keys():
            self.manager.aspire(gone, {})
        self._models = models

    def _new_labels(self, models: dict[str, Any]) -> dict[str, dict[str, tuple[int, ...]]]:
        labels: dict[str, dict[str, tuple[int, ...]]] = {}
        for name, entry in models.items():
            for label, version in entry.version_labels.items():
                labels.setdefault(name, {})[label] = self._checked_label(name, label, version)
        return labels

    def _checked_label(self, model: str, label: str, version: int) -> tuple[int, ...]:
        old = self._labels.get(model, {}).get(label)
        if self._live is not None:
            # The label moves with the version's arrival: until then the old one answers.
            return tuple(dict.fromkeys((version, *(old or ()))))[:2]
        moves = old is not None and old[0] != version
        state = self.monitor.versions(model).get(version)
        ready = state is not None and state.state is State.AVAILABLE
        if not ready and not (self._allow_unavailable and not moves):
            raise FailedPrecondition(
                f"Request to assign label to version {version} of model {model}, "
                "which is not currently available for inference",
                model=model,
                version=version,
            )
        return (version,)

    def _await(self, names: list[str]) -> None:
        self.monitor.wait_for(lambda: self._stop.is_set() or not any(map(self._is_loading, names)), None)
        self.is_open = True

    def _check_available(self, names: list[str]) -> None:
        failed = [name for name in names if not self.manager.available(name)]
        if not failed or self._stop.is_set():
            return
        raise Unknown(_unavailable([self._failure(name) for name in failed]))

    def require_models(self) -> None:
        """Check, once the first loads were tried, that what was requested is served or will be tried again.

        A live repository's models come and go: they are refused only where none of them answers.

        Raises:
            ServerError: a model's base path cannot be read, or none of its versions loads; of the kind of the
                first failure, or DataLoss.
        """
        failed = {name: error for name in self.models() if (error := self._hopeless(name)) is not None}
        if not failed or (self._live is not None and len(failed) < len(self._models)):
            return
        code = code_of(next(iter(failed.values())))
        kind = DataLoss if code in (StatusCode.UNKNOWN, StatusCode.INTERNAL) else ERRORS[code]
        raise kind(_unavailable(list(map(words_of, failed.values()))))

    def _hopeless(self, name: str) -> Exception | None:
        """Return why a model is unavailable and not retried; None otherwise."""
        if self.manager.available(name):
            return None
        try:
            versions_on_disk(Path(self._models[name].base_path), name)
        except ServerError as error:
            return error
        states = self.monitor.versions(name).values()
        if not states or any(state.state is not State.END for state in states):
            return None
        return error_of(next(iter(states)).code, self._failure(name))

    def _failure(self, name: str) -> str:
        versions = self.monitor.versions(name)
        if not versions:
            return f"{name} has no version under base path {self._models[name].base_path}"
        number, state = next(iter(versions.items()))
        error = f" due to error: {state.code.name}: {state.message}" if state.message else ""
        return f"{{name: {name} version: {number}}}{error}"

    def _is_loading(self, name: str) -> bool:
        return self.manager.is_settling(name)

    # The disk

    def start(self) -> None:
        """Begin to look at the base paths in a thread of its own."""
        if self._poll_seconds > 0:
            self._poller = threading.Thread(target=self._poll, name="version-poll", daemon=True)
            self._poller.start()

    def look(self) -> None:
        """Look at the disk once, now."""
        with self._config_lock:
            if self._live is None:
                self._aspire_all()
            else:
                self._look_at(self._live)

    def _look_at(self, live: Callable[[], Live]) -> None:
        try:
            config, canaries = live()
            models = validated(config)
        except (ServerError, OSError, ValueError) as error:
            _log.error("cannot read the repository: %s", error)
            self._aspire_all()
            return
        self._labels = self._new_labels(models)
        self._replace(models)
        # A trial begins before its version is loaded and ends after it has left: at no time is the canary
        # just the newest version, which answers everybody.
        self._begin_trials(canaries)
        self._aspire_all()
        self._end_trials(canaries)
        for model, trial in self._trials.items():
            trial.write(self.manager, Path(self._models[model].base_path), self._file)

    def _begin_trials(self, canaries: dict[str, Canary]) -> None:
        for model, canary in canaries.items():
            stable, trial = self._labels.get(model, {}).get(STABLE), self._trials.get(model)
            if (
                stable
                and model in self._models
                and (trial is None or (trial.stable, trial.canary) != (stable[0], canary))
            ):
                traffic.clear(Path(self._models[model].base_path), canary)
                self._trials[model] = Trial(model, stable[0], canary)

    def _end_trials(self, canaries: dict[str, Canary]) -> None:
        for model in self._trials.keys() - (canaries.keys() & self._models.keys()):
            del self._trials[model]

    def _poll(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            try:
                self.look()
            except Exception:  # the poller must outlive whatever the disk does
                _log.exception("checking for versions failed")

    def _aspire_all(self) -> None:
        for name, entry in self._models.items():
            try:
                versions = aspired_versions(entry)
            except ServerError as error:
                # A base path that is gone for a moment takes nothing down.
                _log.error("%s", error)
                continue
            base = identity(Path(entry.base_path))
            if versions:
                self._bases[name] = base
            # Nor does an empty folder in its place, as of a disk that is not mounted.
            if base == self._bases.get(name) or not self.manager.available(name):
                self.manager.aspire(name, versions)

    def models(self) -> list[str]:
        """Name the configured models."""
        return sorted(self._models)

    def labels(self, model: str) -> dict[str, int]:
        """Return the version of each label of a model."""
        return {label: self.labelled(model, label) for label in sorted(self._labels.get(model, {}))}

    def is_ready(self) -> bool:
        """Return whether every configured model is available."""
        return self.is_open and bool(self._models) and all(map(self.manager.available, self._models))

    def close(self, timeout: float | None = None) -> None:
        """Stop looking and unload everything."""
        self._stop.set()
        if self._poller is not None:
            self._poller.join()
        self.manager.close(timeout)


def _unavailable(failures: list[str]) -> str:
    words = "".join(f"{{{failure}}}, " for failure in failures)
    return f"{len(failures)} model(s) did not become available: {{{words}}}"


def validated(config: Any) -> dict[str, Any]:
    """Return a ModelServerConfig's models by name.

    Raises:
        InvalidArgument: a name twice, a relative path, or no or another platform than TensorFlow.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise InvalidArgument("Missing custom_model_config_loader in ServerCore Options")
    models: dict[str, Any] = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise InvalidArgument(f"Illegal to list model {entry.name} multiple times in config list")
        models[entry.name] = entry
    for entry in models.values():
        if not Path(entry.base_path).is_absolute():
            raise InvalidArgument(
                f"Expected model {entry.name} to have an absolute path or URI; "
                f"got base_path()={entry.base_path}"
            )
        _check_platform(entry)
    return models


def _check_platform(entry: Any) -> None:
    if entry.model_type and entry.model_platform:
        raise InvalidArgument(
            "Illegal setting both ModelServerConfig::model_type (deprecated) "
            f"and ModelServerConfig::model_platform, model name is {entry.name}"
        )
    platform = PLATFORM if entry.model_type == 1 else entry.model_platform
    if entry.model_type > 1:
        raise InvalidArgument(f"ModelServerConfig::model_type choice {entry.model_type} not supported.")
    if not platform:
        raise InvalidArgument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) "
            f"nor ModelServerConfig::model_platform, model name is {entry.name}"
        )
    if platform != PLATFORM:
        raise InvalidArgument(f"Model {entry.name} requests unsupported platform {platform}")
    entry.model_platform = platform
    entry.ClearField("model_type")

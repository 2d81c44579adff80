"""Run flows and steps under Prefect, or without it; flows/scheduling builds on it.

Prefect calls a unit of work a task; here it is a step, so that Task keeps one meaning. Steps return
references (paths, fingerprints, run ids) and are idempotent: their output folders are named by the
fingerprint of their inputs. Prefect's own result cache, which knows no files, is therefore off: a step
whose output is there already says so with :func:`reuse`, and Prefect shows it as Cached. Results are
persisted as JSON so that the UI can show them. Each step waits for the one before it, so that the graph of
a run reads from ingest to publish.
"""

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from features.errors import TemporaryError, UnavailableError
from flows.console import redaction
from flows.orchestration.prefect_api import environment
from flows.workspace import Workspace

#: Errors worth a second attempt; every other one gives the same answer again.
RETRIABLE = (UnavailableError, TemporaryError)


def step(
    name: str,
    *,
    run_name: str | Callable[..., str] | None = None,
    retries: int = 0,
    retry_delay_seconds: float = 5.0,
) -> Callable[[Callable], Callable]:
    """Make a function a step: a Prefect task inside a flow run, a plain call anywhere else.

    Args:
        name: what the step is called in the Prefect UI.
        run_name: the run's name: a template over the function's arguments, or a function of them.
        retries: further attempts after an error of RETRIABLE.
        retry_delay_seconds: pause before each of them.
    """

    def decorate(function: Callable) -> Callable:
        @functools.cache
        def as_task() -> Callable:
            import prefect
            from prefect.cache_policies import NO_CACHE

            return prefect.task(
                _with_reuse(function),
                name=name,
                task_run_name=_from_arguments(run_name) if callable(run_name) else run_name,
                retries=retries,
                retry_delay_seconds=retry_delay_seconds,
                retry_condition_fn=_worth_a_retry,
                cache_policy=NO_CACHE,
                persist_result=True,
                result_serializer="json",
            )

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            return (
                _chained(as_task(), *arguments, **options)
                if in_flow_run()
                else function(*arguments, **options)
            )

        return call

    return decorate


#: What the step that runs reports of its reuse; None outside a flow run.
_reuse: ContextVar[list[str] | None] = ContextVar("reuse", default=None)

#: The state of the last step that was completed, by flow run.
_last: dict[Any, Any] = {}


def reuse(what: str) -> None:
    """Say in the body of a step that its output is there already; Prefect then shows the step as Cached.

    Args:
        what: is reused, as a sentence for the page of the run.
    """
    if (notes := _reuse.get()) is not None:
        notes.append(what)


def _with_reuse(function: Callable) -> Callable:
    """Let a step end in a state that says what it reused, if anything."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        from prefect.states import Completed

        notes: list[str] = []
        token = _reuse.set(notes)
        try:
            result = function(*arguments, **options)
        finally:
            _reuse.reset(token)
        return Completed(name="Cached", message="; ".join(notes), data=result) if notes else result

    return run


def _chained(task: Any, *arguments: Any, **options: Any) -> Any:
    """Run a task behind the last completed one of this flow run; its errors come out unchanged."""
    run_id = flow_run_id()
    before = [_last[run_id]] if run_id in _last else None
    state = task(*arguments, **options, return_state=True, wait_for=before)
    result = state.result()
    # Without its result, parts of which Prefect would take for those of earlier steps.
    _last[run_id] = state.model_copy(update={"data": True})
    _forget_results()
    return result


def _forget_results() -> None:
    """Let Prefect link no step to an earlier one by its result.

    Prefect knows results by the ids of objects, which Python gives to new objects once the old ones are gone.
    """
    from prefect.context import FlowRunContext

    if (context := FlowRunContext.get()) is not None:
        context.run_results.clear()


def _from_arguments(run_name: Callable[..., str]) -> Callable[[], str]:
    def name() -> str:
        from prefect.runtime import task_run

        return run_name(**task_run.parameters)

    return name


def _worth_a_retry(task: Any, task_run: Any, state: Any) -> bool:
    try:
        state.result()
    except RETRIABLE:
        return True
    except BaseException:
        return False
    return False


def in_flow_run() -> bool:
    """Return whether this code runs inside a Prefect flow run; never imports Prefect to find out."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def flow_run_id() -> Any:
    """Return the id of the flow run that this code runs in, which there must be."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    assert context is not None, "outside a flow run"
    assert context.flow_run is not None, "a flow run under way has a record"
    return context.flow_run.id


def as_flow(function: Callable, *, name: str, run_name: str | Callable[[], str] | None = None) -> Any:
    """Make a function a Prefect flow object that a deployment can name and a worker can run."""
    import prefect

    return prefect.flow(
        function,
        name=name,
        flow_run_name=run_name,
        persist_result=True,
        result_serializer="json",
    )


def page(api_url: str) -> str:
    """Return the address of the UI of a Prefect API, without secrets."""
    return redaction.mask(os.environ.get("PREFECT_UI_URL") or api_url.removesuffix("/api"))


def set_environment(workspace: Workspace) -> None:
    """Let this process, and those it starts, run Prefect under these settings."""
    os.environ.update(environment(workspace))


def log_of(workspace: Workspace) -> Path:
    """Return the log of the Prefect servers that are started on a workspace."""
    return workspace.prefect / "server.log"


@contextmanager
def connected(api: str) -> Iterator[None]:
    """Let Prefect's clients of this process talk to the API at an address."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api}):
        yield


def run(function: Callable, parameters: dict[str, Any], *, api: str, name: str, run_name: str) -> Any:
    """Run a function as a flow against the API at an address; its errors come out unchanged."""
    from prefect.logging.handlers import APILogHandler

    flow = as_flow(function, name=name, run_name=run_name)
    for handler in logging.getLogger().handlers:
        # The log of the run goes to the API; on the terminal an error is one line, said by the caller.
        handler.addFilter(_is_not_of_prefect)
    with connected(api):
        try:
            return flow(**parameters)
        finally:
            # What is still queued when an embedded server ends would be lost.
            APILogHandler().flush()


def _is_not_of_prefect(record: logging.LogRecord) -> bool:
    return not record.name.startswith("prefect")

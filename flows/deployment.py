"""The Prefect flow object that prefect.yaml and scheduled deployments name as their entry point."""

import functools
import os
from typing import Any

from flows.console import quiet
from flows.orchestration import outcome, step
from serving.engine import allocator

allocator.keep_memory()
with quiet.native_stderr():
    from flows import pipeline


if outcome.VARIABLE in os.environ:
    # Ctrl-C ends the worker, which then asks each training once: a second signal would end it at once.
    os.setpgid(0, 0)


@functools.wraps(pipeline.train_model)
def _train(*arguments: Any, **options: Any) -> dict[str, Any]:
    try:
        summary = pipeline.train_model(*arguments, **options)
    except BaseException as error:
        outcome.write_error(error)
        raise
    outcome.write(0, "done")
    return summary


train_model = step.as_flow(_train, name="servable-train", run_name="{task} {name}: scheduled training")

"""The Prefect flow object that prefect.yaml and scheduled deployments name as their entry point."""

from flows import orchestration, quiet
from serving import allocator

allocator.keep_memory()
with quiet.native_stderr():
    from flows import pipeline

train_model = orchestration.as_flow(
    pipeline.train_model, name="servable-train", run_name="{task} {name}: scheduled training"
)

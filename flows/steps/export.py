"""The export step: from trained weights to a candidate SavedModel and the answers it must give."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from features.datasets.dataset import Dataset
from flows.gate import gate
from flows.gate.expectations import Call, call, write_calls, write_expectations
from flows.orchestration import step
from flows.queries.reading import inputs
from flows.runs.plans.plan import Plan
from flows.runs.run import Record, candidate, expectations
from models.export import export as exporting
from models.export.export import DEFAULT
from models.network import Network

#: Raw examples that each further signature is asked about; fewer where it takes further inputs, since one
#: that hides patches answers hundreds of examples for each.
CALL_ROWS, FURTHER_ROWS = 4, 2
#: Places of a patch, along the shorter side, at which the gate compares heatmaps.
POSITIONS = 4


#: What ``serving_default`` answers, by output, and calls of other signatures.
Answers = tuple[dict[str, np.ndarray], Sequence[Call]]


@step.step("export", run_name="export {plan.name}")
def export(plan: Plan, record: Record) -> str:
    """Write the candidate and, beside the run, what the training graph answers to real test files."""
    dataset = record.load_dataset()
    network = record.networks.trained(plan, record.run, dataset)
    raws = sample(dataset, plan.gate.parity_rows)
    functions = record.networks.functions(plan, record.run, dataset)
    few = inputs.coarse(network.featurizer.spec.shape, POSITIONS)

    def answers() -> Answers:
        # Each function is optimised in one thread when it is first called.
        with ThreadPoolExecutor(1, "calls") as aside:
            arguments = forms(network, plan.task.raw.input, raws[:CALL_ROWS])
            future = aside.submit(calls, functions, arguments, few)
            return exporting.answer(functions[DEFAULT], raws), future.result()

    return write_candidate(plan, record, network, raws, answers)


def write_candidate(
    plan: Plan,
    record: Record,
    network: Network,
    raws: Sequence[bytes],
    answers: Callable[[], Answers],
) -> str:
    """Write the candidate of a trained network and beside the run what it must answer; hand it to the gate.

    Args:
        plan: what is trained.
        record: of the training.
        network: trained.
        raws: raw examples.
        answers: returns what ``serving_default`` answers to them, where None in place of a text allows any,
            and calls of other signatures; it runs in a thread of its own while the files are written.

    Returns:
        The candidate's folder.
    """
    dataset = record.load_dataset()
    functions = record.networks.functions(plan, record.run, dataset)
    directory = candidate(plan, record)
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    record.run.record(
        signatures=sorted(functions), absent=exporting.absent(network, plan.task, dataset.labels)
    )
    with ThreadPoolExecutor(1, "answers") as aside:
        answered = aside.submit(answers)
        exporting.export(
            network,
            plan.task,
            dataset.labels,
            directory,
            warmup=raws[:4],
            model_name=plan.name,
            functions=functions,
        )
        gate.submit(plan, record)
    expected, expected_calls = answered.result()
    write_expectations(expectations(record), raws, expected)
    write_calls(expectations(record), expected_calls)
    record.examiner.proceed()
    return str(directory)


def sample(dataset: Dataset, rows: int) -> list[bytes]:
    """Read the first examples of the test split by content hash, topped up from the other splits."""
    frame = dataset.frame.assign(_rank=dataset.frame["split"].map({"test": 0, "validation": 1, "train": 2}))
    chosen = frame.sort_values(["_rank", "sha256"], kind="stable").head(rows)
    return [dataset.read(row) for row in chosen.itertuples()]


def forms(network: Network, argument: str, raws: Sequence[bytes]) -> list[Mapping[str, np.ndarray]]:
    """Return the forms in which a signature may take the same examples: raw, and by column if there are any.

    Args:
        network: whose featurizer may have ``inputs``, names of columns, and ``cut`` examples into values or
            ``cells`` of these.
        argument: name of the input that takes raw examples.
        raws: the examples.
    """
    arguments: list[Mapping[str, np.ndarray]] = [{argument: np.array(raws, dtype=object)}]
    if hasattr(network.featurizer, "inputs"):
        featurizer, rows = network.featurizer, tf.constant(list(raws))
        for columns in (featurizer.cut(rows), featurizer.cells(rows)):
            values = (column.numpy() for column in columns)
            arguments.append(dict(zip(featurizer.inputs, values, strict=True)))
    return arguments


def calls(
    functions: Mapping[str, Any],
    given: Sequence[Mapping[str, np.ndarray]],
    values: Mapping[str, str] = inputs.USUAL,
) -> list[Call]:
    """Ask every function beside the default one that takes examples, with these further inputs.

    Args:
        functions: signatures by name.
        given: the forms in which a signature may take the same examples.
        values: of further inputs, by name, as they would be typed.
    """
    results = []
    for name, function in functions.items():
        form = next((form for form in given if _takes(function, form)), None)
        if name != DEFAULT and form is not None:
            results.append(call(name, function, _asked(function, form, values)))
    return results


def _takes(function: Any, form: Mapping[str, np.ndarray]) -> bool:
    """Return whether a function takes this form, and nothing beside it that has no usual value."""
    dtypes = _inputs(function)
    same = all(dtypes.get(name) == tf.as_dtype(value.dtype) for name, value in form.items())
    return same and dtypes.keys() - form.keys() <= inputs.USUAL.keys()


def _asked(
    function: Any, form: Mapping[str, np.ndarray], values: Mapping[str, str]
) -> Mapping[str, np.ndarray]:
    if not _inputs(function).keys() - form.keys():
        return form
    few = {name: value[:FURTHER_ROWS] for name, value in form.items()}
    return few | inputs.usual(function, few.keys(), len(next(iter(few.values()))), values)


def _inputs(function: Any) -> dict[str, Any]:
    return {spec.name: spec.dtype for spec in tf.nest.flatten(function.structured_input_signature)}

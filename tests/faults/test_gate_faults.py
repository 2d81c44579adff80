"""What the gate refuses (E4, E6, E7), on damaged copies of a real candidate."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ExportError
from flows import pipeline
from flows.gate import __main__, comparison, gate
from flows.gate import expectations as gate_expectations
from flows.gate.checks import Examination
from flows.orchestration.examiner import Examiner
from flows.reports import ending
from flows.reports.pages.context import Context
from flows.runs.directory import RunDirectory
from flows.runs.run import Record
from flows.runs.state import Check, Verdict, outcomes
from models.export.export import WARMUP
from serving.repository.statement import PROVENANCE
from tests.trained import Trained

MANIFEST = Path("assets.extra")


def request_below(folder: Path, trained: Trained) -> dict[str, Any]:
    """Make the gate's request for a copy of the candidate that became the release."""
    asked = json.loads((trained.run.path / "gate-request.json").read_text())
    candidate = folder / "1"
    shutil.copytree(trained.summary["release"], candidate)
    for extra in (candidate / MANIFEST).iterdir():
        if extra.name != WARMUP.name:
            extra.unlink()
    # A statement on a release would name its manifest.
    (candidate / PROVENANCE).unlink()
    expectations = folder / "parity"
    shutil.copytree(asked["expectations"], expectations)
    return asked | {"candidate": str(candidate), "expectations": str(expectations), "serving": None}


@pytest.fixture
def request_of(trained: Trained, tmp_path: Path) -> dict[str, Any]:
    """The gate's request for a copy of the candidate."""
    return request_below(tmp_path, trained)


@dataclass
class Examined:
    """An examination of an unchanged candidate, and its checks before and after it asked for expectations."""

    examination: Examination
    loading: list[Check]
    comparing: list[Check]


@pytest.fixture(scope="module")
def unchanged(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examined]:
    """What is found in an unchanged candidate, which stays loaded; expectations come when asked for."""
    asked = request_below(tmp_path_factory.mktemp("unchanged"), trained)
    folder = Path(asked["expectations"])
    folder.rename(folder.with_name("later"))
    examination = Examination(asked, lambda: folder.with_name("later").rename(folder))
    steps = examination.steps()
    loading = outcomes(steps[:4])
    assert not folder.exists()
    yield Examined(examination, loading, outcomes(steps[4:]))
    examination.close()


def refused(asked: dict[str, Any]) -> dict[str, Any]:
    """Examine a candidate and give the one check that failed."""
    return failed(__main__.examine(asked)["checks"])


def refused_again(asked: dict[str, Any], unchanged: Examined) -> dict[str, Any]:
    """Examine a candidate that is loaded already, and give the one check that failed."""
    examination = Examination(asked)
    vars(examination).update(model=unchanged.examination.model, _server=unchanged.examination._server)
    found = [asdict(check) for check in outcomes(examination.steps())]
    del vars(examination)["_server"]  # it goes on
    examination.close()
    return failed(found)


def failed(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the one check that failed: the last one."""
    assert [check["passed"] for check in found] == [True] * (len(found) - 1) + [False], found
    return found[-1]


def rewrite(candidate: Path, change: Callable[[str, np.ndarray], np.ndarray]) -> None:
    """Write a SavedModel's variables again, each through `change`."""
    prefix = str(candidate / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_dtype_map())
    tensors = [tf.constant(change(name, reader.get_tensor(name))) for name in names]
    shutil.rmtree(candidate / "variables")
    (candidate / "variables").mkdir()
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)


def first_kernel(changed: Callable[[np.ndarray], np.ndarray]) -> Callable[[str, np.ndarray], np.ndarray]:
    done: list[str] = []

    def change(name: str, value: Any) -> Any:
        if not done and isinstance(value, np.ndarray) and value.ndim == 4:
            done.append(name)
            return changed(value)
        return value

    return change


def test_an_unchanged_candidate_passes_every_check(unchanged: Examined) -> None:
    verdict = [*unchanged.loading, *unchanged.comparing]
    assert all(check.passed for check in verdict)
    assert [check.name for check in verdict] == [
        "ops",
        "loads",
        "signatures",
        "preprocessing inside",
        "finite weights",
        "SavedModel answers as training",
        "warmup",
        "live server answers as training",
        *(f"live server's {name} answers as training" for name in ("embed", "occlusion", "grad_cam")),
        "latency",
    ]
    assert len(unchanged.examination.latency) == 30


def test_a_candidate_is_loaded_before_the_answers_of_the_training_are_written(unchanged: Examined) -> None:
    assert all(check.passed for check in unchanged.loading)
    assert unchanged.loading[-1].name == "finite weights"
    assert all(check.passed for check in unchanged.comparing)
    assert Path(unchanged.examination.request["expectations"]).exists()


def test_e4_one_changed_weight_is_found_with_difference_and_row(request_of: dict[str, Any]) -> None:
    def changed(kernel: np.ndarray) -> np.ndarray:
        kernel[0, 0, 0, 0] += 1.0
        return kernel

    rewrite(Path(request_of["candidate"]), first_kernel(changed))
    check = refused(request_of)
    assert check["name"] == "SavedModel answers as training"
    assert "largest difference" in check["got"]
    assert "of example" in check["got"]


def test_e4_a_training_answer_that_differs_names_its_row(
    request_of: dict[str, Any], unchanged: Examined
) -> None:
    path = Path(request_of["expectations"]) / "answers.json"
    answers = json.loads(path.read_text())
    answers["numbers"]["scores"][5][0] += 0.001
    path.write_text(json.dumps(answers))
    check = refused_again(request_of, unchanged)
    assert "0.001" in check["got"]
    assert "first in output scores of example 5" in check["got"]


def test_e4_another_signature_that_differs_is_named(request_of: dict[str, Any], unchanged: Examined) -> None:
    folder = Path(request_of["expectations"])
    (kept,) = (call for call in gate_expectations.read_calls(folder) if call.signature == "embed")
    changed = kept.outputs["embedding"].copy()
    changed[2, 0] += 0.01 * max(1.0, abs(changed[2, 0]))
    gate_expectations.write_calls(
        folder, [gate_expectations.Call(kept.signature, kept.inputs, {"embedding": changed})]
    )
    check = refused_again(request_of, unchanged)
    assert check["name"] == "live server's embed answers as training"
    assert "first in output embedding of example 2" in check["got"]


def test_e6_a_weight_that_is_not_finite(request_of: dict[str, Any]) -> None:
    rewrite(Path(request_of["candidate"]), first_kernel(lambda kernel: kernel * np.nan))
    assert refused(request_of)["name"] == "finite weights"


def unsafe(op: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """Make a function of bytes that runs one op a server must not run."""

    def run(examples: tf.Tensor) -> tf.Tensor:
        if op == "ReadFile":
            return tf.io.read_file(tf.constant("/etc/hostname"))
        if op == "WriteFile":
            with tf.control_dependencies([tf.io.write_file("written", "x")]):
                return tf.identity(examples)
        if op == "PyFunc":
            return tf.numpy_function(lambda value: value, [examples], tf.string)
        return tf.py_function(lambda value: value, [examples], tf.string)

    return run


@pytest.mark.parametrize("op", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc"])
def test_e7_ops_that_touch_files_or_python(request_of: dict[str, Any], op: str) -> None:
    replace(request_of, unsafe(op))
    check = refused(request_of)
    assert check["name"] == "ops"
    assert op in check["got"]


def replace(asked: dict[str, Any], run: Callable[[tf.Tensor], tf.Tensor], dtype: Any = tf.string) -> None:
    """Put a SavedModel of one signature in the candidate's place."""

    @tf.function(input_signature=[tf.TensorSpec([None], dtype, name="image_bytes")])
    def serving_default(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"label": run(image_bytes)}

    module = tf.Module()
    module.serving_default = serving_default
    shutil.rmtree(asked["candidate"])
    tf.saved_model.save(module, asked["candidate"], signatures={"serving_default": serving_default})


def test_e7_an_op_can_be_allowed(request_of: dict[str, Any]) -> None:
    replace(request_of, unsafe("ReadFile"))
    request_of["settings"] = request_of["settings"] | {"allow_ops": ["ReadFile"]}
    assert refused(request_of)["name"] == "signatures"


def test_a_missing_signature_is_named(request_of: dict[str, Any]) -> None:
    replace(request_of, tf.identity)
    check = refused(request_of)
    assert (check["name"], check["got"]) == ("signatures", "serving_default")
    assert "embed" in check["expected"]


def test_e4_preprocessing_that_is_not_inside(request_of: dict[str, Any]) -> None:
    replace(request_of, tf.identity, tf.float32)
    request_of["signatures"] = ["serving_default"]
    assert refused(request_of)["name"] == "preprocessing inside"


def test_missing_warmup_and_slow_answers(request_of: dict[str, Any], unchanged: Examined) -> None:
    request_of["settings"] = request_of["settings"] | {"max_latency_ms": 1e-6}
    check = refused_again(request_of, unchanged)
    assert (check["name"], check["expected"]) == ("latency", "at most 1e-06 ms")
    (Path(request_of["candidate"]) / WARMUP).unlink()
    assert refused_again(request_of, unchanged)["name"] == "warmup"


@pytest.mark.parametrize("damage", ["saved_model.pb", "variables/variables.index"])
def test_what_cannot_be_loaded(request_of: dict[str, Any], damage: str) -> None:
    (Path(request_of["candidate"]) / damage).unlink()
    assert refused(request_of)["name"] in ("ops", "loads")


def test_a_refusal_in_the_flow_exits_73_and_keeps_the_candidate(
    trained: Trained, request_of: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The step itself, with its process, on a candidate whose training answers differ."""
    path = Path(request_of["expectations"]) / "answers.json"
    answers = json.loads(path.read_text())
    answers["numbers"]["score"][0] += 1.0
    path.write_text(json.dumps(answers))
    folder = tmp_path / "run"
    folder.mkdir()
    state = trained.run.read()
    run = RunDirectory(folder)
    run.record(metrics=state.metrics, dataset=state.dataset)
    monkeypatch.setattr(gate, "_request", lambda plan, record: request_of)
    record = Record(run, state.dataset, None, None, Examiner(folder / "gate.log"))  # type: ignore[arg-type]
    with pytest.raises(ExportError, match="SavedModel answers as training") as caught:
        gate.pass_gate(trained.plan(), record)
    assert caught.value.exit_code == 73
    assert request_of["candidate"] in str(caught.value)
    assert Path(request_of["candidate"], "saved_model.pb").is_file()
    assert not run.read().gate.passed


@pytest.mark.parametrize(
    ("value", "serving", "accept", "passed"),
    [
        (0.90, 0.91, False, False),
        (0.91, 0.91, False, True),
        (0.90, 0.91, True, True),
        (0.8, None, False, True),
        (None, 0.9, False, True),
    ],
)
def test_no_worse_than_serving(
    trained: Trained, value: float | None, serving: float | None, accept: bool, passed: bool
) -> None:
    plan = trained.plan(accept_worse=accept)
    asked = {"metric": {"name": "test/accuracy", "value": value}}
    verdict = Verdict(serving={"version": 3, "value": serving, "note": "it knows other labels"})
    (check,) = comparison.metric_checks(plan, asked, verdict)
    assert check.passed is passed
    assert ("--accept-worse" in check.expected) is (not passed)
    assert ("accepted by --accept-worse" in check.got) is accept


def test_a_metric_that_was_not_measured_reaches_no_floor(trained: Trained) -> None:
    plan = trained.plan(overrides=("gate.min_metric=0.1",))
    asked = {"metric": {"name": "test/accuracy", "value": None}}
    (check,) = comparison.metric_checks(plan, asked, Verdict())
    assert (check.passed, check.got) == (False, "test/accuracy not measured")


def test_a_report_that_cannot_be_written_hides_no_refusal(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory(tmp_path)
    record = Record(run, {}, None, None, Examiner(tmp_path / "gate.log"))  # type: ignore[arg-type]
    written: list[str] = []

    def write(plan: object, record: Record) -> str:
        written.append("report")
        raise OSError("no space left on device")

    pipeline.report_refusal(trained.plan(), record, write)
    assert written == []  # The gate did not come to a verdict: there is nothing to tell.
    run.record(gate={"checks": [{"name": "latency", "passed": False, "got": "9 ms", "expected": "1 ms"}]})
    pipeline.report_refusal(trained.plan(), record, write)
    assert written == ["report"]
    assert (
        "cannot write the report of the refused run: OSError: no space left on device"
        in capsys.readouterr().err
    )
    verdict, tone = ending.outcome(run.read())
    assert (verdict, tone) == ("refused by the gate: latency, got 9 ms, expected 1 ms", "bad")
    assert list(ending.latency(Context(trained.plan(), record))) == []

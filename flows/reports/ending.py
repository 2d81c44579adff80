"""What every report has whatever the task: verdict, cost, use, dataset, gate and reproduction."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

from features.spec import RawKind
from flows.orchestration import addresses
from flows.reports import dataset as datasets
from flows.reports.pages.context import Context
from flows.reports.pages.page import Code, Fact, Link, Section, Tone
from flows.reports.sections import parts
from flows.runs.provenance import command_line, git_commit, versions
from flows.runs.run import candidate
from flows.runs.state import RunState

#: Where ``servable serve`` and ``servable ui`` answer unless they are told otherwise.
GRPC, REST, MLFLOW = "127.0.0.1:8500", "127.0.0.1:8501", "http://127.0.0.1:5000"
#: Stages that train, by the name of the step; those of a gallery embed and index.
TRAINING = ("train", "index", "cluster")
#: A file of each raw kind, as commands name it.
FILES = {"image": "photo.jpg", "audio": "sound.wav"}
#: Characters of an example that stands in a command.
_LONGEST = 160


def outcome(state: RunState) -> tuple[str, Tone]:
    """Return the page's verdict and its tone: the version published, or why the gate refused it."""
    if state.version is not None:
        return f"published as version {state.version}", "good"
    check = state.gate.refusal if state.gate is not None else None
    why = f": {check.name}, got {check.got}, expected {check.expected}" if check else ""
    return f"refused by the gate{why}", "bad"


def cost(context: Context) -> list[Fact]:
    """Say how long the training took, and how large the model is."""
    facts = []
    if seconds := _training_seconds(context):
        facts.append(Fact("training time", duration(seconds)))
    facts.append(Fact("parameters", int(context.network.model.count_params())))
    if size := _bytes_of(context):
        facts.append(Fact("size of the release", megabytes(size)))
    return facts


def _training_seconds(context: Context) -> float:
    """Add up the epochs, those before an interruption too; without epochs, the stages that train."""
    epochs = sum(float(row.get("seconds", 0.0)) for row in context.history)
    return epochs or sum(context.state.seconds.get(stage, 0.0) for stage in (*TRAINING, "featurize"))


def _bytes_of(context: Context) -> int:
    release = context.state.release
    folder = Path(release) if release else candidate(context.plan, context.record)
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def duration(seconds: float) -> str:
    """Write a duration: 4.2 s, 3 min 12 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def megabytes(size: int) -> str:
    """Write a size in MB, with at most four digits that count."""
    value = size / 1e6
    return f"{value:.2g} MB" if value < 1 else f"{float(f'{value:.3g}'):,g} MB"


def use(context: Context) -> Iterator[Section]:
    """Show how the model is called, and where else there is something to see."""
    plan, raw = context.plan, context.plan.task.raw
    example = "" if raw.name in FILES else _example(context)
    code = [
        Code(f"servable predict {plan.name} {FILES.get(raw.name) or shlex.quote(example)}", "Command line"),
        Code(curl(plan.name, raw, example), "curl"),
        Code(python(plan.name, raw, example), "Python"),
    ]
    prose = "Start the server with servable serve; it then answers on this machine."
    yield Section("Use", prose=[prose], code=code, links=list(_links(context)))


def curl(model: str, raw: RawKind, example: str) -> str:
    """Write the curl command that asks for a prediction."""
    url = f"http://{REST}/v1/models/{model}:predict"
    if raw.name not in FILES:
        request = json.dumps({"instances": [example]}, ensure_ascii=False)
        return f"curl -s -d {shlex.quote(request)} {url}"
    form = shlex.quote('{"instances": [{"b64": "%s"}]}')
    return f"printf {form} \"$(base64 < {FILES[raw.name]} | tr -d '\\n')\" | curl -s -d @- {url}"


def python(model: str, raw: RawKind, example: str) -> str:
    """Write the Python program that asks for a prediction."""
    value = f"Path({json.dumps(FILES[raw.name])}).read_bytes()" if raw.name in FILES else repr(example)
    before = "from pathlib import Path\n\n" if raw.name in FILES else ""
    return f"""{before}from serving.client.client import Client

with Client("{GRPC}") as client:
    answer = client.predict("{model}", {raw.input}=[{value}])
for name, value in answer.items():
    print(name, value[0])"""


def _example(context: Context) -> str:
    """Return an example that is text, cut where it is long: a text, a row of a table or a word."""
    dataset: Any = context.dataset
    if context.plan.task.raw.lines:
        return str(context.network.featurizer.vocabulary[0])
    raw = dataset.read(dataset.measured.iloc[0]).decode("utf-8", "replace")
    return raw if len(raw) <= _LONGEST or context.plan.task.raw.rows else raw[:_LONGEST].rsplit(" ", 1)[0]


def _links(context: Context) -> Iterator[Link]:
    if run := context.record.tracked.run_id:
        uri = context.record.tracking.uri
        shared = addresses.is_server(uri)
        note = "" if shared else "start it with servable ui"
        yield Link("The run in MLflow", f"{site(uri) if shared else MLFLOW}/#/runs/{run}", note)
    if (context.record.run.path / "projection.html").is_file():
        yield Link("Map of the examples", "projection.html", "in the folder of this report")


def site(uri: str) -> str:
    """Return a server's address without user and password, and without a slash at its end."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def latency(context: Context) -> Iterator[Section]:
    """Show how long the candidate takes to answer, where the gate came to that."""
    if (verdict := context.state.gate) and verdict.latency_ms:
        yield parts.latency(verdict.latency_ms, "One example at a time through the exported model.")


def dataset(context: Context) -> Iterator[Section]:
    """Show where every example went, and what the targets are."""
    yield datasets.describe(context.dataset.card)


def gate(context: Context) -> Iterator[Section]:
    """Tabulate what the gate checked."""
    if verdict := context.state.gate:
        yield parts.checks(
            [
                ["passed" if check.passed else "refused", check.name, check.got, check.expected]
                for check in verdict.checks
            ]
        )


def reproduction(context: Context) -> Iterator[Section]:
    """Show recipe, command and versions."""
    seed = context.plan.request.seed
    hashes = {
        "dataset": context.record.dataset.fingerprint,
        "weights": context.state.weights_hash,
        "MLflow run": context.record.tracked.run_id,
        "commit": git_commit(),
    }
    identifiers = {name: value for name, value in hashes.items() if value}
    yield parts.reproduction(
        yaml.safe_dump(context.plan.recipe, sort_keys=False), command_line(), seed, versions(), identifiers
    )

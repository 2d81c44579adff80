"""A model server that cannot start ends with an exit code and one sentence, and never by a signal."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving import cli, errors
from serving.config import Options
from serving.engine import source
from serving.process import listening
from serving.repository.repository import Repository
from serving.server.server import Server
from tests.serving import saved_models
from tests.serving.certificates import Authority


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path with one version that loads."""
    return saved_models.line(tmp_path_factory.mktemp("start") / "line" / "1").parent


@pytest.fixture(scope="module")
def corrupt(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path whose one version has half a graph."""
    base = tmp_path_factory.mktemp("corrupt") / "line"
    shutil.copytree(good, base)
    graph = base / "1" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:500])
    return base


@pytest.fixture
def handlers() -> Iterator[None]:
    """Set signal handlers back to those of the tests."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def start(
    handlers: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Start a server in this process, in a folder of its own; give exit code and the one line of error."""
    monkeypatch.chdir(tmp_path)

    def run(*flags: object, repository: Path | None = None) -> tuple[int, str]:
        code = cli.main(["--port=0", *map(str, flags)], repository)
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
        return code, line

    return run


def config(*models: tuple[str, object]) -> str:
    entries = (
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}'
        for name, path in models
    )
    return f"model_config_list {{ {' '.join(entries)} }}"


def process(*flags: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving", "--port=0", "--rest_api_port=0", *map(str, flags)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_relative_base_path_in_a_file_is_refused_as_tensorflow_serving_does(
    good: Path, start: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(good.parent)
    Path("models.config").write_text(config(("line", "line")))
    code, line = start("--rest_api_port=0", "--model_config_file=models.config")
    assert code == 65
    assert line.startswith("error: Expected model line to have an absolute path or URI; got base_path()=line")


def test_a_relative_base_path_on_the_command_line_is_resolved(
    good: Path,
    handlers: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    announce = cli._announce

    def announced(grpc: str, rest: str | None) -> None:
        announce(grpc, rest)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.chdir(good.parent)
    monkeypatch.setattr(cli, "_announce", announced)
    assert cli.main(["--port=0", "--model_name=line", f"--model_base_path={good.name}"]) == 0
    assert capsys.readouterr().out.startswith("gRPC ")


def test_a_corrupt_version_without_retries_ends_the_start(corrupt: Path) -> None:
    done = process(
        "--model_name=line", f"--model_base_path={corrupt}", "--max_num_load_retries=0", folder=corrupt
    )
    assert done.returncode not in (0, 70)
    assert done.returncode > 0
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "1 model(s) did not become available: {{{name: line version: 1} due to error: " in line
    assert "Cannot load the SavedModel" in line


def test_a_corrupt_version_that_is_tried_again_is_waited_for(corrupt: Path) -> None:
    options = Options(port=0, model_name="line", model_base_path=corrupt, max_load_retries=1)
    with Server(options) as server:
        server.require_models()
        assert not server.ready


def test_of_a_file_every_model_must_load_and_of_a_repository_one(
    good: Path, corrupt: Path, tmp_path: Path, start: Callable[..., tuple[int, str]]
) -> None:
    Path("models.config").write_text(config(("a", good), ("b", corrupt)))
    code, line = start("--model_config_file=models.config", "--max_num_load_retries=0")
    assert (code in (65, 74), "1 model(s) did not become available: {{{name: b" in line) == (True, True), line
    repository = Repository(tmp_path / "models")
    for name, base in (("a", good), ("b", good)):
        candidate = tmp_path / f"candidate-{name}"
        shutil.copytree(base / "1", candidate)
        release = repository.publish(name, candidate, {}, promote=True)
    (release.path / "saved_model.pb").write_bytes(b"")
    options = Options(port=0, repository=repository.root, max_load_retries=0)
    with Server(options) as server:
        server.require_models()
    with Server(Options(port=0, repository=tmp_path / "empty")) as server:
        server.require_models()


def test_an_empty_base_path_is_waited_for_and_a_missing_one_is_refused(
    tmp_path: Path, start: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "empty").mkdir()
    with Server(Options(port=0, model_base_path=tmp_path / "empty")) as server:
        server.require_models()
    (tmp_path / "file").write_text("")
    for path, words in (("nosuch", "No such file or directory"), ("file", "Not a directory")):
        code, line = start(f"--model_base_path={path}")
        assert code == 66
        assert f"Could not find base path {tmp_path / path}" in line
        assert words in line


def test_a_base_path_without_permission(
    good: Path, start: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(source.os, "scandir", refuse)
    code, line = start(f"--model_base_path={good}")
    assert code == 77
    assert "Permission denied" in line


#: Flag of a file to contents that cannot be used: code and words.
FILES = [
    ("--model_config_file", "model_config_list { config {", 65, "Invalid protobuf file: 'x.config'"),
    ("--model_config_file", None, 66, "No such file or directory"),
    ("--model_config_file", b"\xff\xfe\0", 65, "Invalid protobuf file: 'x.config'"),
    ("--model_config_file", config(("a", "/x"), ("a", "/y")), 65, "Illegal to list model a multiple times"),
    ("--ssl_config_file", None, 66, "No such file or directory"),
    (
        "--ssl_config_file",
        'server_key: "k" server_cert: "c"',
        65,
        "cannot use server_key and server_cert",
    ),
    ("--monitoring_config_file", "nonsense", 65, "MonitoringConfig"),
    ("--monitoring_config_file", None, 66, "No such file or directory"),
    ("--batching_parameters_file", "nonsense", 65, "BatchingParameters"),
    ("--tensorflow_session_config_file", "nonsense", 65, "Invalid protobuf file: 'x.config'"),
    ("--tensorflow_session_config_file", None, 66, "Invalid protobuf file: 'x.config'"),
]


@pytest.mark.parametrize(("flag", "content", "code", "words"), FILES)
def test_a_file_that_cannot_be_used(
    good: Path,
    start: Callable[..., tuple[int, str]],
    flag: str,
    content: str | bytes | None,
    code: int,
    words: str,
) -> None:
    if content is not None:
        Path("x.config").write_bytes(content.encode() if isinstance(content, str) else content)
    others = [] if flag == "--model_config_file" else [f"--model_base_path={good}"]
    others += ["--enable_batching"] if "batching" in flag else []
    # With a REST port, since the Prometheus page is one of its.
    got, line = start(f"{flag}=x.config", "--rest_api_port=0", *others)
    assert got == code, line
    assert words in line


def test_a_key_of_another_certificate_is_named(good: Path, start: Callable[..., tuple[int, str]]) -> None:
    authority = Authority("test")
    one, other = authority.leaf("localhost"), authority.leaf("localhost")
    text = "".join(
        f'{name}: "{value.decode()}"'.replace("\n", "\\n")
        for name, value in (("server_key", one.key), ("server_cert", other.certificate))
    )
    Path("x.config").write_text(text)
    code, line = start("--ssl_config_file=x.config", f"--model_base_path={good}")
    assert (code, "cannot use server_key" in line) == (65, True), line


def test_ports_and_sockets_that_cannot_be_listened_on(
    good: Path, tmp_path: Path, start: Callable[..., tuple[int, str]]
) -> None:
    base = f"--model_base_path={good}"
    with ExitStack() as stack:
        taken = stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for flag, todo in (("--port", "with --port"), ("--rest_api_port", "with --rest_api_port")):
            code, line = start(f"{flag}={port}", base)
            assert (code, f"cannot listen on 127.0.0.1:{port}" in line, todo in line) == (69, True, True), (
                line
            )
            assert "address already in use" in line.lower()
    for flag in ("--port=70000", "--port=-1", "--rest_api_port=70000"):
        code, line = start(flag, base)
        assert (code, "expected 0 to 65535" in line) == (78, True), line
    (tmp_path / "folder").mkdir()
    for path, code, words in (
        (tmp_path / "nosuch" / "s", 66, "No such file or directory"),
        (tmp_path / "folder", 69, "Is a directory"),
        (tmp_path / ("x" * 120), 69, "longer than"),
    ):
        got, line = start(f"--grpc_socket_path={path}", base)
        assert (got, words.lower() in line.lower()) == (code, True), line
        assert "--grpc_socket_path" in line
    code, line = start("--host=no.such.host.invalid", "--insecure_listen", base)
    assert (code, "cannot listen on no.such.host.invalid:0" in line) == (69, True), line


def test_a_place_without_permission_is_a_matter_of_permission() -> None:
    error = listening.refusal("unix:/root/s", PermissionError(13, "Permission denied"))
    assert (error.exit_code, "Permission denied" in str(error)) == (77, True)
    assert listening.obstacle("127.0.0.1:0") is None
    assert errors.of_file(PermissionError(13, "x")).exit_code == 77

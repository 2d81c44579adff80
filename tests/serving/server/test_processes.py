"""Several processes on one port: who starts, replaces and ends them; what they share."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from features.errors import ConfigError, UnavailableError
from serving.config import Options
from serving.metrics import Counts, Metrics
from serving.process import logs
from serving.server.processes import Group, _reserved

#: Seconds in which whatever is awaited comes.
PATIENCE = 60


def until(condition):
    """Wait until a condition holds, and return what it returned."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)
    return found


def answer(options, log_format, channel):
    """Tell every connection one's process id, until SIGTERM or the end of the process that began this one."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((options.host, options.port))
        listener.listen()
        channel.send((0, f"{options.host}:{options.port}", None))
        while True:
            with listener.accept()[0] as connection:
                connection.sendall(str(os.getpid()).encode())


def refuse(options, log_format, channel):
    """Fail to start, as a server does."""
    channel.send((66, "no such model"))


def vanish(options, log_format, channel):
    """End without a word."""


def test_a_process_that_is_killed_is_replaced_and_a_signal_ends_all(capfd):
    options, announced = Options(processes=2, port=0), []
    handler = signal.getsignal(signal.SIGTERM)

    def pid(port):
        """Return the id of the process that answers; 0 where it was killed before it did."""
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
                return int(connection.recv(16) or 0)
        except ConnectionError:
            return 0

    def seen(port, without=()):
        """Return the process ids of two processes that answer."""
        found = set()
        until(lambda: found.add(pid(port)) or len(found - {0, *without}) == 2)
        return found - {0, *without}

    def drive():
        try:
            (port,) = until(lambda: [int(address.rpartition(":")[2]) for address, _ in announced])
            first = seen(port)
            victim = first.pop()
            os.kill(victim, signal.SIGKILL)
            results.append((victim, first, seen(port, without=[victim])))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    results = []
    with _reserved(options) as fixed:
        thread = threading.Thread(target=drive)
        thread.start()
        code = Group(fixed, logs.TEXT, lambda *found: announced.append(found), answer).run()
        thread.join()
    ((victim, (stayed,), after),) = results
    assert code == 0
    assert len(announced) == 1
    assert stayed in after
    assert victim not in after
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.parametrize(
    ("work", "code", "words"), [(refuse, 66, "no such model"), (vanish, 70, "before it was up")]
)
def test_a_process_that_cannot_start_ends_all_with_one_sentence(capsys, work, code, words):
    assert Group(Options(processes=2, port=1), logs.TEXT, lambda *_: None, work).run() == code
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.count("error:") == 1


def test_ports_are_held_for_the_processes_and_for_no_other_server():
    options = Options(processes=2, port=0, rest_port=0)
    with _reserved(options) as fixed:
        assert fixed.port not in (0, fixed.rest_port)
        with (
            pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1:{fixed.port}"),
            _reserved(fixed),
        ):
            pass
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = replace(options, rest_port=other.getsockname()[1])
        with pytest.raises(UnavailableError, match="--rest_api_port"), _reserved(taken):
            pass


def test_each_process_has_a_log_of_its_own(tmp_path):
    log = tmp_path / "requests.tfrecord"
    found = [replace(Options(processes=4), process=number).of_process(log) for number in (0, 3)]
    assert found == [tmp_path / "requests-0.tfrecord", tmp_path / "requests-3.tfrecord"]
    assert Options().of_process(log) == log


def test_settings_that_contradict_several_processes_are_refused(tmp_path):
    served = Options(repository=tmp_path)
    for wrong, words in (
        ({"processes": 0}, "number of processes"),
        ({"grpc_socket_path": tmp_path / "s"}, "Unix socket"),
    ):
        with pytest.raises(ConfigError, match=words):
            replace(served, **{"processes": 2, **wrong}).check()


def test_every_process_gives_the_metrics_of_all_of_them(tmp_path):
    alone, shared = Metrics(), [Metrics(tmp_path), Metrics(tmp_path)]
    for number, seconds in enumerate((0.001, 0.002, 0.5, 0.00001)):
        for metrics in (alone, shared[number % 2]):
            metrics.answered(f"model{number // 3}", "Predict", "GRPC", seconds)
            metrics.runtime("model0", "Predict", seconds)
            metrics.failed("model1", "NOT_FOUND")
    for metrics in shared:
        metrics.write()
    pages = [sorted(metrics.page().splitlines()) for metrics in shared]
    assert pages[0] == pages[1] == sorted(alone.page().splitlines())
    assert json.loads(json.dumps(alone._counts.content())) == json.loads(json.dumps(_again(alone).content()))
    # One that has gone leaves its counts.
    shared.pop().close()
    assert sorted(shared[0].page().splitlines()) == pages[0]


def _again(metrics):
    counts = Counts()
    counts.merge(json.loads(json.dumps(metrics._counts.content())))
    return counts


def test_two_servers_share_both_ports_where_they_are_processes_of_one(models, tmp_path):
    # Imported here: the processes of other tests import this file, and need no TensorFlow.
    from serving.server.server import Server

    options = Options(
        processes=2,
        port=0,
        rest_port=0,
        metrics_folder=tmp_path,
        metrics=True,
        model_name="line",
        model_base_path=models.root / "line",
    )
    with _reserved(options) as fixed, Server(fixed) as first, Server(replace(fixed, process=1)) as second:
        assert (first.target, first.rest_target) == (second.target, second.rest_target)
        url = f"http://{first.rest_target}/v1/models/line:predict"
        for _ in range(20):
            with urllib.request.urlopen(url, b'{"instances": [2.0]}') as found:
                assert json.load(found) == {"predictions": [7.0]}
        first.metrics.write()
        second.metrics.write()
        counted = b':tensorflow:serving:request_count{model_name="line",status="OK"} 20'
        assert counted in first.metrics.page().splitlines()
        assert first.metrics.page() == second.metrics.page()
        assert "reaches one of several processes" in _reloaded(first.target)


@pytest.mark.proof
def test_two_processes_of_the_server_answer_on_one_port(models):
    command = [
        sys.executable,
        "-m",
        "serving",
        "--processes=2",
        "--port=0",
        "--rest_api_port=0",
        "--model_name=line",
    ]
    monitoring = models.root / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    flags = [f"--model_base_path={models.root / 'line'}", f"--monitoring_config_file={monitoring}"]
    with subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            grpc_line, rest_line = (server.stdout.readline() for _ in range(2))
            assert grpc_line.startswith("gRPC 127.0.0.1:"), server.stderr.read()
            port, rest = (line.split()[1] for line in (grpc_line, rest_line))
            assert port != rest
            for _ in range(20):
                # A connection each: the kernel chooses the process anew.
                with urllib.request.urlopen(
                    f"http://{rest}/v1/models/line:predict", b'{"instances": [2.0]}'
                ) as found:
                    assert json.load(found) == {"predictions": [7.0]}
            counted = b':tensorflow:serving:request_count{model_name="line",status="OK"} 20'

            def page():
                with urllib.request.urlopen(f"http://{rest}/monitoring/prometheus/metrics") as found:
                    return counted in found.read()

            until(page)
            assert all(page() for _ in range(8))
            refused = _reloaded(port)
        finally:
            server.terminate()
        _, errors = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0, errors
    assert "reaches one of several processes" in refused


def _reloaded(address):
    """Ask for another configuration; return why it is refused."""
    import grpc
    from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request, timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    return caught.value.details()

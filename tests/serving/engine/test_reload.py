"""Models that come, go and get labels while the server runs."""

import shutil
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from features.errors import UnavailableError
from serving import errors
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server

Code = grpc.StatusCode
X = np.array([2.0], np.float32)


def config(*models, **settings):
    """Describe models as (name, base path[, policy text[, labels]])."""
    made = model_server_config_pb2.ModelServerConfig()
    made.model_config_list.SetInParent()
    for name, base, *more in models:
        entry = made.model_config_list.config.add(
            name=name, base_path=str(base), **{"model_platform": "tensorflow", **settings}
        )
        for version in more[0] if more else ():
            entry.model_version_policy.specific.versions.append(version)
        for label, version in (more[1] if len(more) > 1 else {}).items():
            entry.version_labels[label] = version
    return made


@pytest.fixture
def base(models, tmp_path):
    for number in (1, 2, 3):
        models.copy_line(number, tmp_path / "line")
    return tmp_path / "line"


@pytest.fixture
def server(base):
    options = Options(
        port=0,
        model_name="line",
        model_base_path=base,
        poll_seconds=0.05,
        max_load_retries=0,
        allowed_model_roots=(base.parent,),
    )
    with Server(options) as running:
        yield running


@pytest.fixture
def client(server):
    with Client(server.target, timeout=10) as made:
        yield made


@pytest.fixture
def reload(server):
    with grpc.insecure_channel(server.target) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)

        def call(wanted):
            return stub.HandleReloadConfigRequest(
                model_management_pb2.ReloadConfigRequest(config=wanted), timeout=20
            )

        yield call


def refusal(reload, wanted):
    with pytest.raises(grpc.RpcError) as caught:
        reload(wanted)
    return caught.value.code(), caught.value.details()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)


def versions(client, model="line"):
    try:
        return [one.version for one in client.status(model) if one.available]
    except errors.NotFound:
        return []


def test_a_policy_of_several_versions_and_back(reload, client, base):
    assert reload(config(("line", base, [1, 3]))).status.error_code == 0
    until(lambda: versions(client) == [3, 1])
    assert client.predict("line", x=X, version=1)["y"] == [3.0]
    everything = config(("line", base))
    everything.model_config_list.config[0].model_version_policy.all.SetInParent()
    reload(everything)
    until(lambda: versions(client) == [3, 2, 1])
    latest = config(("line", base))
    latest.model_config_list.config[0].model_version_policy.latest.num_versions = 2
    reload(latest)
    until(lambda: versions(client) == [3, 2])
    reload(config(("line", base)))
    until(lambda: versions(client) == [3])


def test_a_version_that_is_a_file_fails_and_a_model_without_versions_is_unloaded(client, base, models):
    (base / "9").write_text("no directory")
    until(lambda: [one.state for one in client.status("line") if one.version == 9] == ["END"])
    (failed,) = client.status("line", 9)
    assert (failed.code, "Could not find SavedModel" in failed.message) == ("NOT_FOUND", True)
    assert client.predict("line", x=X).version == 3
    (base / "9").unlink()
    for number in (1, 2, 3):
        shutil.rmtree(base / str(number))
    until(lambda: versions(client) == [])
    with pytest.raises(errors.NotFound, match="Servable not found"):
        client.predict("line", x=X)
    models.copy_line(2, base)
    until(lambda: versions(client) == [2])
    assert client.predict("line", x=X)["y"] == [5.0]


def test_models_are_added_and_taken_away(reload, client, base):
    reload(config(("line", base), ("other", base, [2])))
    assert client.predict("other", x=X)["y"] == [5.0]
    reload(config(("other", base, [2])))
    until(lambda: not versions(client))
    with pytest.raises(errors.NotFound, match=r"Latest\(line\)"):
        client.predict("line", x=X)
    until(lambda: [one.state for one in client.status("line")] == ["END"])
    assert client.predict("other", x=X)["y"] == [5.0]


def test_labels_name_versions_and_move(reload, client, base):
    reload(config(("line", base, [1, 2])))
    until(lambda: versions(client) == [2, 1])
    reload(config(("line", base, [1, 2], {"stable": 1, "canary": 2})))
    assert client.predict("line", x=X, label="stable")["y"] == [3.0]
    assert client.predict("line", x=X, label="canary").version == 2
    assert client.metadata("line", label="stable").version == 1
    reload(config(("line", base, [1, 2], {"stable": 2})))
    assert client.predict("line", x=X, label="stable").version == 2
    with pytest.raises(errors.InvalidArgument, match="Unrecognized servable version label: canary"):
        client.predict("line", x=X, label="canary")


def test_a_label_on_a_version_that_does_not_answer_is_refused_and_nothing_changes(reload, client, base):
    code, words = refusal(reload, config(("line", base, [3], {"stable": 1})))
    assert code is Code.FAILED_PRECONDITION
    assert words == (
        "Request to assign label to version 1 of model line, which is not currently available for inference"
    )
    assert client.predict("line", x=X)["y"] == [7.0]


def test_labels_may_come_before_their_version_where_allowed_but_not_move_there(models, base):
    file = base.parent / "models.config"
    file.write_text(str(config(("line", base, [2], {"stable": 2}))))
    options = Options(
        port=0,
        model_config_file=file,
        model_config_poll_seconds=0.05,
        poll_seconds=0.05,
        labels_for_unavailable=True,
    )
    with Server(options) as running, Client(running.target) as client:
        assert client.predict("line", x=X, label="stable")["y"] == [5.0]
        file.write_text(str(config(("line", base, [2], {"stable": 1, "next": 1}))))
        time.sleep(0.3)
        assert client.predict("line", x=X, label="stable").version == 2
        file.write_text(str(config(("line", base, [1, 2], {"stable": 2, "next": 1}))))
        until(lambda: versions(client) == [2, 1])
        assert client.predict("line", x=X, label="next").version == 1


def test_labels_at_the_start_need_the_flag(base, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(str(config(("line", base, [2], {"stable": 2}))))
    with pytest.raises(errors.FailedPrecondition, match="not currently available"):
        Server(Options(port=0, model_config_file=file)).start()


def test_the_config_file_is_read_again_while_running_and_a_broken_one_changes_nothing(base, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(str(config(("line", base, [1]))))
    options = Options(port=0, model_config_file=file, model_config_poll_seconds=0.05, poll_seconds=0.05)
    with Server(options) as running, Client(running.target) as client:
        assert client.predict("line", x=X)["y"] == [3.0]
        file.write_text("model_config_list { nonsense")
        time.sleep(0.2)
        assert client.predict("line", x=X)["y"] == [3.0]
        file.write_text(str(config(("line", base, [3]), ("two", base, [2]))))
        until(lambda: versions(client) == [3] and versions(client, "two") == [2])
        assert client.predict("two", x=X)["y"] == [5.0]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            model_server_config_pb2.ModelServerConfig(),
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported",
        ),
        (config(("line", "/a"), ("line", "/b")), "Illegal to list model line multiple times in config list"),
        (config(("line", "a/b")), "Expected model line to have an absolute path or URI; got base_path()=a/b"),
        (config(("line", "/a"), model_platform="caffe"), "Model line requests unsupported platform caffe"),
        (
            config(("line", "/a"), model_platform=""),
            "Illegal setting neither ModelServerConfig::model_type (deprecated) "
            "nor ModelServerConfig::model_platform, model name is line",
        ),
        (
            config(("line", "/a"), model_type=1),
            "Illegal setting both ModelServerConfig::model_type (deprecated) "
            "and ModelServerConfig::model_platform, model name is line",
        ),
        (
            config(("line", "/a"), model_type=2, model_platform=""),
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_in_the_real_servers_words(
    reload, client, base, wanted, words
):
    for entry in wanted.model_config_list.config:
        entry.base_path = (
            entry.base_path.replace("/a", str(base)).replace("/b", str(base))
            if entry.base_path[0] == "/"
            else entry.base_path
        )
    assert refusal(reload, wanted) == (Code.INVALID_ARGUMENT, words)
    assert client.predict("line", x=X)["y"] == [7.0]


def test_the_deprecated_model_type_is_taken(reload, client, base):
    reload(config(("old", base, [1]), model_type=1, model_platform=""))
    assert client.predict("old", x=X)["y"] == [3.0]


def test_a_new_model_that_does_not_load_is_told(reload, client, base):
    (base.parent / "broken" / "1").mkdir(parents=True)
    code, words = refusal(reload, config(("line", base), ("broken", base.parent / "broken")))
    assert code is Code.UNKNOWN
    assert words.startswith(
        "1 model(s) did not become available: {{{name: broken version: 1} due to error: "
        "NOT_FOUND: Could not find SavedModel"
    )
    code, words = refusal(reload, config(("line", base), ("gone", base.parent / "gone")))
    assert code is Code.UNKNOWN
    assert "gone" in words
    assert client.predict("line", x=X)["y"] == [7.0]


def outside(base: Path) -> list[str]:
    link = base.parent / "way-out"
    link.symlink_to("/")
    return [
        "/",
        "/etc",
        str(base.parent.parent),
        f"{base}/../..",
        str(link),
        f"{link}/etc",
        f"{base}/x\0y",
        "//",
    ]


def test_s13_base_paths_outside_the_allowed_roots_are_refused(reload, client, base):
    for path in outside(base):
        code, words = refusal(reload, config(("line", base), ("spy", path)))
        assert code is Code.PERMISSION_DENIED, path
        assert "Model spy has a base path outside the allowed roots" in words
    with pytest.raises(errors.NotFound):
        client.status("spy")
    assert client.predict("line", x=X)["y"] == [7.0]


NAMES = ["../x", "%2e%2e%2f", "..%5c", "a/b", "a\0b", "x" * 10_240, "․․/", "line/3"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_s13_names_never_reach_the_file_system(client, name):
    with pytest.raises(errors.NotFound):
        client.predict(name, x=X)
    with pytest.raises(errors.InvalidArgument, match="Unrecognized servable version label"):
        client.predict("line", x=X, label=name)
    assert client.predict("line", x=X)["y"] == [7.0]


def test_requests_are_refused_as_unavailable_once_the_server_has_stopped(base):
    with (
        Server(Options(port=0, model_name="line", model_base_path=base)) as running,
        Client(running.target) as client,
    ):
        assert client.predict("line", x=X)["y"] == [7.0]
        running.stop()
        with pytest.raises(UnavailableError):
            client.predict("line", x=X)

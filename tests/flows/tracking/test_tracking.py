"""Tracking against a real MLflow database: what was said is what MLflow tells, once."""

import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import InternalError, TemporaryError
from flows.tracking import delivery, tracking
from flows.tracking.spool.outbox import REJECTED, Spool
from flows.tracking.store import mlflow_store, tags
from flows.tracking.store.mlflow_store import AwayError, Ledger
from flows.workspace import Workspace
from models.figures.drawing.canvas import LIGHT, canvas
from tests.conftest import ROOT
from tests.mlflow_store import Workplace

HERE = Path(__file__).resolve().parents[3]

# The import of mlflow.pyfunc looks at its own type hints.
pyfunc = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")


@pytest.fixture
def place(tmp_path):
    return Workplace(tmp_path)


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """A SavedModel from encoded bytes to a label, a score and scores."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def serve(self, image_bytes):
            size = tf.cast(tf.strings.length(image_bytes), tf.float32)
            first = tf.strings.substr(image_bytes, 0, 1)
            return {"label": first, "score": size, "scores": tf.stack([size, 2 * size], -1)}

        @tf.function(input_signature=[tf.TensorSpec([None, 2, 2], tf.float32, name="pixels")])
        def embed(self, pixels):
            return {"embedding": tf.reduce_sum(pixels, [1, 2])}

    folder, model = tmp_path_factory.mktemp("exported") / "1", Model()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve, "embed": model.embed})
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "manifest.json").write_text("{}")
    return folder


def start(place, key="pets/1", tracked=None, **fields):
    opened = tracked or place.tracking()
    return opened, opened.start("pets", run_name="pets-1", key=key, **fields)


def write_everything(place, saved_model, tracked):
    """Say one of everything there is to say."""
    _, run = start(place, tracked=tracked, params={"seed": 0, "model": {"units": [8]}}, tags={"task": "t"})
    run.dataset("pets", fingerprint="f" * 64, source="photos/", profile={"found": 3})
    for step in range(4):
        run.metrics({"train/loss": 1 / (step + 1), "validation/loss": 2.0}, step)
    run.text("seed: 0\n", "recipe.yaml")
    run.table(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "tables/classes.json")
    run.metrics({"test/accuracy": 0.9375})
    run.register(
        saved_model,
        "pets",
        release=7,
        examples={"image_bytes": [b"abc"]},
        tags={"test/accuracy": "0.9375"},
        kind="image-classification",
        figures=["test/accuracy"],
    )
    run.describe("**0.9375** see the [report](artifact:report/report.html)", "pets cnn v7 abcdef")
    tracked.promote("pets", 7)
    run.tags({"late": "yes"})
    run.finish()
    return run


def test_everything_said_is_told_by_mlflow(place, saved_model):
    with place.tracking() as tracked:
        run = write_everything(place, saved_model, tracked)
        assert tracked.drain(), tracked.trouble
    (stored,) = place.runs()
    assert stored.info.run_id == run.run_id
    assert (stored.info.status, stored.info.run_name) == ("FINISHED", "pets cnn v7 abcdef")
    link = f"#/experiments/{stored.info.experiment_id}/runs/{run.run_id}/artifacts/report/report.html"
    described = f"**0.9375** see the [report]({link})"
    assert stored.data.tags["mlflow.note.content"] == described
    assert place.client.get_model_version("pets", 1).description == described
    experiment = place.client.get_experiment(stored.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    shown = [name for name in stored.data.tags if not name.startswith("mlflow.")]
    assert sorted(shown) == ["late", "task"]
    assert stored.data.params == {"seed": "0", "model": '{"units": [8]}'}
    assert {"task": "t", "late": "yes"}.items() <= stored.data.tags.items()
    assert place.history(run.run_id, "train/loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3), (3, 0.25)]
    (used,) = stored.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("pets", "f" * 36)
    assert json.loads(used.dataset.profile) == {"found": 3}
    assert json.loads(used.dataset.source) == {"uri": "photos/"}
    kept = place.artifacts(run.run_id)
    assert kept["recipe.yaml"] == b"seed: 0\n"
    assert json.loads(kept["tables/classes.json"]) == {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}
    assert json.loads(stored.data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "tables/classes.json", "type": "table"}
    ]
    assert run.version("pets") == 1
    assert list(place.spool.iterdir()) == []
    assert place.notices == []


def test_mlflow_finds_the_model_by_what_it_is_worth(place, saved_model):
    """Metrics with the model's id and the dataset they were measured on, once; params; the type."""
    import mlflow

    with place.tracking() as tracked:
        write_everything(place, saved_model, tracked)
        assert tracked.drain(), tracked.trouble
    (stored,) = place.runs()
    mlflow.set_tracking_uri(place.uri)

    def search(filter_string, **options):
        found = mlflow.search_logged_models(
            experiment_ids=[stored.info.experiment_id],
            filter_string=filter_string,
            order_by=[{"field_name": "metrics.test/accuracy", "ascending": False}],
            output_format="list",
            **options,
        )
        return [model.name for model in found]

    assert search("metrics.`test/accuracy` > 0.9") == ["pets"]
    assert search("metrics.`test/accuracy` > 0.9375") == []
    assert search("params.seed = '0' AND model_type = 'image-classification'") == ["pets"]
    used = {"dataset_name": "pets", "dataset_digest": "f" * 36}
    assert search("metrics.`test/accuracy` > 0.9", datasets=[used]) == ["pets"]
    assert search("metrics.`test/accuracy` > 0.9", datasets=[used | {"dataset_digest": "e"}]) == []
    assert place.history(stored.info.run_id, "test/accuracy") == [(0, 0.9375)]


def test_mlflow_reads_our_tables(place):
    import mlflow

    frame = pd.DataFrame({"label": ["ants", "bees"], "recall": [0.5, 1.0], "support": [3, 4]})
    with place.tracking() as tracked:
        _, run = start(place, tracked=tracked)
        run.table(frame, "classes.json")
        run.finish()
        tracked.drain()
    mlflow.set_tracking_uri(place.uri)
    mlflow.set_experiment("pets")
    read = mlflow.load_table("classes.json", run_ids=[run.run_id])
    assert read.to_dict("list") == frame.to_dict("list")


@pyfunc
def test_registered_model_loads_and_predicts(place, saved_model):
    """The version is the SavedModel: no code of ours, no unpickling; its own example can be predicted."""
    import mlflow
    import tensorflow as tf

    with place.tracking() as tracked:
        write_everything(place, saved_model, tracked)
        assert tracked.drain(), tracked.trouble
        champion = tracked.champion("pets")
    assert (champion["version"], champion["release"]) == (1, 7)
    assert champion["tags"]["test/accuracy"] == "0.9375"
    mlflow.set_tracking_uri(place.uri)
    model = mlflow.pyfunc.load_model("models:/pets@champion")
    inputs = [(c.name, str(c.type), c.required) for c in model.metadata.signature.inputs]
    assert inputs == [
        ("image_bytes", "DataType.binary", False),
        ("pixels", "Array(Array(double))", False),
    ]
    assert [c.name for c in model.metadata.signature.outputs] == ["label", "score", "scores"]
    answer = model.predict(model.input_example)
    assert answer["scores"].tolist() == [[3.0, 6.0]]
    answer = model.predict(pd.DataFrame({"image_bytes": [b"pq", b"rstu"]}))
    assert answer["score"].tolist() == [2.0, 4.0]
    assert answer["label"].tolist() == ["p", "r"]
    pixels = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    given = pd.DataFrame({"pixels": pixels.tolist()})
    answer = model.predict(given, params={"signature_name": "embed"})
    assert answer["embedding"].tolist() == [0 + 1 + 2 + 3, 4 + 5 + 6 + 7]
    with pytest.raises(ValueError, match="no signature 'nope'; the model has embed, serving_default"):
        model.predict(given, params={"signature_name": "nope"})
    with pytest.raises(ValueError, match="no input 'image_bytes'; serving_default takes image_bytes"):
        model.predict(given)
    serve = mlflow.tensorflow.load_model("models:/pets/1")
    np.testing.assert_array_equal(serve(image_bytes=tf.constant([b"\xff\x00"]))["score"], [2.0])
    local = Path(mlflow.artifacts.download_artifacts("models:/pets/1"))
    assert (local / "saved_model/assets.extra/manifest.json").read_text() == "{}"
    assert not [path for path in local.rglob("*") if path.suffix in (".pkl", ".pickle")]


def test_every_stop_between_two_steps_ends_in_the_same_store(tmp_path, saved_model):
    """K3: killed after any event was applied and before that was noted, the next process repeats it."""
    place, cursors = Workplace(tmp_path / "a"), [{}]
    tracked = place.tracking()
    tracked._sender._ledger.probe = _away  # everything stays in the spool
    tracked._sender._reaped.clear()
    write_everything(place, saved_model, tracked)
    tracked.close(timeout=5)
    kept = shutil.copytree(place.spool, tmp_path / "kept")

    class Watched(Spool):
        def save_cursor(self, cursor):
            cursors.append(json.loads(json.dumps(cursor)))
            super().save_cursor(cursor)

    def send(cursor=None):
        shutil.rmtree(place.spool, ignore_errors=True)
        shutil.copytree(kept, place.spool)
        directory = next(child for child in place.spool.iterdir() if child.name.startswith("pets"))
        if cursor is not None:
            Spool(directory).save_cursor(cursor)
        with place.tracking() as again:
            assert again.drain(), again.trouble
        return place.snapshot()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery, "Spool", Watched)
        first = send()
    assert first["versions"] == [("pets", 1, "7")]
    assert first["runs"][0]["status"] == "FINISHED"
    assert len(cursors) > 8
    for cursor in cursors:
        assert send(cursor) == first


def _away():
    raise AwayError("switched off")


class Unlucky:
    """MLflow's client, whose n-th call is carried out (or not) before the connection breaks."""

    def __init__(self, client, broken, after):
        self._client, self._left, self._after = client, broken, after

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def call(*args, **kwargs):
            self._left -= 1
            if self._left == 0 and not self._after:
                raise ConnectionError("before the request")
            result = method(*args, **kwargs)
            if self._left == 0:
                raise ConnectionError("the answer was lost")
            return result

        return call


@pytest.mark.proof
@pytest.mark.parametrize("after", [True, False], ids=["answer lost", "request lost"])
def test_every_broken_request_is_repeated_without_a_trace(tmp_path, saved_model, after):
    """K2, K3: whichever request fails, and whether the server carried it out or not."""
    expected = None
    for broken in range(1, 60):
        place = Workplace(tmp_path / str(broken))
        tracked = place.tracking()
        tracked._sender._ledger._client = unlucky = Unlucky(place.client, broken, after)
        write_everything(place, saved_model, tracked)
        tracked.drain()
        assert tracked.drain(), tracked.trouble
        tracked.close()
        found = place.snapshot()
        for run in found["runs"]:
            run["end"] = None
        expected = expected or found
        assert found == expected
        if unlucky._left > 0:
            break  # no request was left to break
    assert broken > 15


def test_same_key_goes_on_in_the_same_run_until_it_is_finished(place):
    for status, step in (("FAILED", 0), ("KILLED", 1), ("FINISHED", 2)):
        with place.tracking() as tracked:
            _, run = start(place, tracked=tracked, params={"seed": 0}, tags={"attempt": step})
            run.metrics({"loss": 9.0}, 0)
            run.metrics({"loss": float(step)}, step)
            run.finish(status)
            assert tracked.drain(), tracked.trouble
        (stored,) = place.runs()
        assert (stored.info.status, stored.info.run_id) == (status, run.run_id)
        assert stored.data.tags["attempt"] == str(step)
    assert place.history(run.run_id, "loss") == [(0, 9.0), (1, 1.0), (2, 2.0)]
    with place.tracking() as tracked:
        _, again = start(place, tracked=tracked)
        again.finish()
        assert tracked.drain(), tracked.trouble
    assert len(place.runs()) == 2
    assert again.run_id != run.run_id


def test_system_metrics_are_sampled_while_a_run_goes_on_and_after_a_resume(place, monkeypatch):
    import psutil

    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.02")
    name = "system/system_memory_usage_percentage"
    for status in ("KILLED", "FINISHED"):
        with place.tracking() as tracked:
            _, run = start(place, tracked=tracked)
            begin = max((step for metric, step in run._seen if metric == name), default=-1)
            while (name, begin + 2) not in run._seen:
                pass
            run.finish(status)
            assert tracked.drain(), tracked.trouble
    points = place.history(run.run_id, name)
    assert [step for step, _ in points] == list(range(len(points)))
    assert abs(points[-1][1] - psutil.virtual_memory().percent) < 30
    assert not [thread for thread in threading.enumerate() if thread.name == "system metrics"]


def test_repeated_epochs_are_recorded_once(place):
    with place.tracking() as tracked:
        _, run = start(place, tracked=tracked)
        for value in (1.0, 2.0):
            run.metrics({"loss": value, "other": value}, 3)
        run.metrics({"loss": 5.0, "late": 1.0}, 3)
        run.finish()
    assert place.history(run.run_id, "loss") == [(3, 1.0)]
    assert place.history(run.run_id, "late") == [(3, 1.0)]


def test_param_that_changed_on_resume_is_kept_beside_the_first(place):
    for commit in ("aaa", "bbb"):
        with place.tracking() as tracked:
            _, run = start(place, tracked=tracked, params={"commit": commit, "seed": 0})
            run.finish("KILLED")
    (stored,) = place.runs()
    assert stored.data.params == {"commit": "aaa", "seed": "0"}
    assert stored.data.tags["changed.commit"] == "bbb"
    assert not (place.spool / REJECTED).exists()


def test_hostile_values(place):
    """K6: NaN and infinities, long values, names of any script, secrets."""
    long, name = "x" * 7000, "größe <b>\n/../日本"
    with place.tracking() as tracked:
        _, run = start(
            place, tracked=tracked, params={"long": long, "hub_token": "a1b2c3d4e5", name: 1, "": 2}
        )
        run.metrics({"nan": math.nan, "inf": math.inf, "-inf": -math.inf, name: 0.5}, 1)
        run.tags({"url": "https://me:pw@host", "cut": "y" * 9000, "surrogate": "a\udcff"})
        run.text("api_key = 'zzz'\nname: grün", "notes/a.txt")
        run.finish()
        assert tracked.drain(), tracked.trouble
    (stored,) = place.runs()
    points = {key: place.client.get_metric_history(run.run_id, key)[0].value for key in stored.data.metrics}
    assert math.isnan(points["nan"])
    assert points["inf"] == sys.float_info.max
    assert points["-inf"] == -sys.float_info.max
    slugged = next(key for key in points if key.startswith("groe"))
    assert points[slugged] == 0.5
    assert stored.data.params[slugged] == "1"
    assert stored.data.params["hub_token"] == "***"
    assert "params/long.txt" in stored.data.params["long"]
    kept = place.artifacts(run.run_id)
    assert kept["params/long.txt"] == long.encode()
    assert kept["notes/a.txt"].decode() == "api_key = ***\nname: grün"
    assert stored.data.tags["url"] == "https://me:***@host"
    assert len(stored.data.tags["cut"]) == 8000
    assert place.notices == []


def test_secrets_never_reach_the_disk(place, monkeypatch):
    """C5: the spool is masked too, not only what MLflow gets."""
    monkeypatch.setenv("CANARY_PASSWORD", "tweety-bird-9")
    tracked = place.tracking(uri="http://127.0.0.1:9")
    _, run = start(place, tracked=tracked, params={"a": "tweety-bird-9"}, tags={"b": "x tweety-bird-9"})
    run.text("tweety-bird-9", "t.txt")
    run.dataset("d", fingerprint="1", source="/home/tweety-bird-9/x")
    run.finish("FAILED", note="wrong password: tweety-bird-9")
    tracked.close()
    files = [path for path in place.spool.rglob("*") if path.is_file()]
    assert len(files) > 2
    assert not [path for path in files if b"tweety" in path.read_bytes()]


def test_locked_database_costs_patience_and_nothing_else(place):
    """K4: another program holds the database; the writer of metrics never waits for it."""
    holder = sqlite3.connect(place.folder / "mlruns" / "mlflow.db", isolation_level=None)
    tracked = place.tracking()
    _, run = start(place, tracked=tracked)
    assert tracked.drain(), tracked.trouble
    holder.execute("BEGIN EXCLUSIVE")
    for step in range(200):
        run.metrics({"loss": float(step)}, step)
    assert place.spool.joinpath("pets_1~1").exists() or list(place.spool.iterdir())
    holder.execute("ROLLBACK")
    holder.close()
    run.finish()
    assert tracked.close()
    assert place.history(run.run_id, "loss") == [(step, float(step)) for step in range(200)]


def test_lock_that_outlasts_the_database_s_own_patience_is_waited_out(place, monkeypatch):
    """K4: MLflow gave up on a locked database; the same events pass later."""
    tracked = place.tracking()
    _, run = start(place, tracked=tracked)
    assert tracked.drain(), tracked.trouble
    real, failures = Ledger._batch, []

    def locked(self, events, run_id):
        if len(failures) < 2:
            failures.append(1)
            raise sqlite3.OperationalError("database is locked")
        return real(self, events, run_id)

    monkeypatch.setattr(Ledger, "_batch", locked)
    run.metrics({"loss": 1.0}, 1)
    run.finish()
    while not tracked.drain():
        pass
    tracked.close()
    assert place.history(run.run_id, "loss") == [(1, 1.0)]
    assert len(failures) == 2


def test_four_runs_at_once_in_one_database(place):
    """K4: parallel writers, each with a spool and a thread of its own."""
    places = [Workplace(place.folder / str(i), place.uri) for i in range(4)]

    def work(at):
        with places[at].tracking() as tracked:
            _, run = start(places[at], key=f"run/{at}", tracked=tracked)
            for step in range(30):
                run.metrics({"loss": at + step / 100}, step)
            run.finish()
            assert tracked.drain(), tracked.trouble

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    histories = sorted(place.history(run.info.run_id, "loss") for run in place.runs())
    assert histories == [[(step, at + step / 100) for step in range(30)] for at in range(4)]


def test_many_events_go_in_few_requests(place, monkeypatch):
    tracked = place.tracking(uri="http://127.0.0.1:9")
    _, run = start(place, tracked=tracked, params={f"p{i}": i for i in range(250)})
    for step in range(1500):
        run.metrics({"a": step, "b": -step}, step)
    run.finish()
    tracked.close()
    requests, real = [], place.client.log_batch

    def counted(run_id, **entities):
        requests.append(sum(map(len, (entities.get(k, ()) for k in ("metrics", "params", "tags")))))
        return real(run_id, **entities)

    again = place.tracking()
    again._sender._ledger._client = place.client
    monkeypatch.setattr(place.client, "log_batch", counted)
    assert again.drain(), again.trouble
    again.close()
    assert sum(requests) == 3000 + 250
    assert max(requests) <= 1000
    assert len(requests) < 20
    (stored,) = place.runs()
    assert len(stored.data.params) == 250
    assert len(place.history(stored.info.run_id, "a")) == 1500


def test_refused_event_is_set_aside_and_the_others_pass(place):
    tracked = place.tracking()
    _, run = start(place, tracked=tracked)
    run.write("artifact", file="files/absent/x.png", folder="")
    run.write("metrics", metrics={"bad//name": 1.0}, step=0)
    run.metrics({"good": 1.0}, 0)
    tracked.promote("nobody", 3)
    run.finish()
    assert tracked.close()
    assert place.history(run.run_id, "good") == [(0, 1.0)]
    rejected = [json.loads(line) for line in (place.spool / REJECTED).read_text().splitlines()]
    assert sorted(line["kind"] for line in rejected) == ["alias", "artifact", "metrics"]
    assert len(place.notices) == 3
    assert all("refused" in notice for notice in place.notices)


def test_damaged_spool_line_is_set_aside(place):
    tracked = place.tracking(uri="http://127.0.0.1:9")
    _, run = start(place, tracked=tracked)
    run.metrics({"a": 1.0}, 0)
    run.finish()
    tracked.close()
    (events,) = place.spool.glob("*/events.jsonl")
    lines = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(b"".join([lines[0], b"\x00garbage\n", *lines[1:]]))
    with place.tracking() as again:
        assert again.drain(), again.trouble
    (stored,) = place.runs()
    assert stored.info.status == "FINISHED"
    assert place.history(stored.info.run_id, "a") == [(0, 1.0)]
    assert json.loads((place.spool / REJECTED).read_text())["kind"] == "damaged"


def test_late_replay_never_moves_an_alias_back(place, saved_model):
    """A promotion that waited while a later one was made does not undo the later one."""
    with place.tracking() as tracked:
        for release in (1, 2):
            _, run = start(place, key=f"r/{release}", tracked=tracked)
            run.register(saved_model, "pets", release=release)
            run.finish()
        assert tracked.drain(), tracked.trouble
        tracked.promote("pets", 1)
        assert tracked.drain(), tracked.trouble
        assert tracked.champion("pets")["release"] == 1
    away = place.tracking(uri="http://127.0.0.1:9")
    away.promote("pets", 1)
    away.close()
    waiting = shutil.move(next(iter(place.spool.glob("alias*"))), place.folder / "waiting")
    with place.tracking() as tracked:
        tracked.promote("pets", 2)
        assert tracked.drain(), tracked.trouble
    shutil.move(waiting, place.spool / "alias-pets~1-1")
    with place.tracking() as tracked:
        assert tracked.drain(), tracked.trouble
        assert tracked.champion("pets")["release"] == 2
        tracked.promote("pets", 1)
        assert tracked.drain(), tracked.trouble
        assert tracked.champion("pets")["release"] == 1
        assert tracked.champion("nobody") is None


def test_context_manager_tells_how_a_run_ended(place):
    with place.tracking() as tracked:
        with start(place, "ok", tracked)[1]:
            pass
        with pytest.raises(ValueError), start(place, "failed", tracked)[1]:
            raise ValueError("password: hunter2")
        with pytest.raises(KeyboardInterrupt), start(place, "stopped", tracked)[1]:
            raise KeyboardInterrupt
        start(place, "forgotten", tracked)
    statuses = {run.data.tags[tags.RUN_TAG].split("~")[0]: run for run in place.runs()}
    assert {key: run.info.status for key, run in statuses.items()} == {
        "ok": "FINISHED",
        "failed": "FAILED",
        "stopped": "KILLED",
        "forgotten": "KILLED",
    }
    assert statuses["failed"].data.tags["servable.note"] == "ValueError: password: ***"


def run_child(place, code):
    """Run code in another process with `tracked` opened on the place; returns the process."""
    prelude = f"""
        import os, signal, sys
        from pathlib import Path
        from flows.tracking.tracking import Tracking
        folder = Path({str(place.folder)!r})
        artifacts = folder / "mlruns/artifacts"
        tracked = Tracking({place.uri!r}, folder / "spool", artifacts=artifacts, notify=print)
        run = tracked.start("pets", run_name="pets-1", key="pets/1", params={{"seed": 0}})
    """
    script = textwrap.dedent(prelude) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=HERE, capture_output=True, text=True, timeout=100
    )


def test_killed_process_is_noticed_and_its_run_can_go_on(place):
    """K5: kill -9 leaves RUNNING; the next start says KILLED, or goes on in the same run."""
    done = run_child(
        place,
        """
        run.metrics({"loss": 1.0}, 0)
        assert tracked.drain(), tracked.trouble
        print(run.run_id, flush=True)
        run.metrics({"loss": 0.5}, 1)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    run_id = done.stdout.split()[0]
    assert [run.info.status for run in place.runs()] == ["RUNNING"]
    with place.tracking() as tracked:
        _, other = start(place, "pets/2", tracked)
        assert tracked.drain(), tracked.trouble
        other.finish()
    killed = place.client.get_run(run_id)
    assert killed.info.status == "KILLED"
    assert "killed" in killed.data.tags["servable.note"]
    last = max(point.timestamp for point in place.client.get_metric_history(run_id, "loss"))
    assert killed.info.end_time == last
    with place.tracking() as tracked:
        _, resumed = start(place, "pets/1", tracked, params={"seed": 0})
        assert tracked.drain(), tracked.trouble
        assert place.client.get_run(run_id).info.status == "RUNNING"
        for step in (0, 1, 2):
            resumed.metrics({"loss": 1 / (step + 1)}, step)
        resumed.finish()
        assert tracked.drain(), tracked.trouble
    assert resumed.run_id == run_id
    assert place.client.get_run(run_id).info.status == "FINISHED"
    assert place.history(run_id, "loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]


def test_stale_run_without_a_spool_is_closed_too(place):
    """K5: the workspace was deleted; only MLflow remembers the run."""
    client = place.client
    experiment = client.create_experiment("pets", artifact_location=place.folder.as_uri())
    here = dict(mlflow_store.this_process())
    gone = client.create_run(experiment, tags=here | {tags.PID_TAG: "999999999"})
    younger = client.create_run(experiment, tags=here | {tags.SINCE_TAG: "1000.0"})
    alive = client.create_run(experiment, tags=here)
    elsewhere = client.create_run(experiment, tags=here | {tags.HOST_TAG: "other", tags.PID_TAG: "999999999"})
    foreign = client.create_run(experiment)
    with place.tracking() as tracked:
        start(place, tracked=tracked)[1].finish()
    states = [
        client.get_run(run.info.run_id).info.status for run in (gone, younger, alive, elsewhere, foreign)
    ]
    assert states == ["KILLED", "KILLED", "RUNNING", "RUNNING", "RUNNING"]


def test_run_of_a_living_process_is_left_alone(place):
    first = place.tracking()
    _, run = start(place, tracked=first)
    second = place.tracking()
    with pytest.raises(TemporaryError, match=str(os.getpid())):
        start(place, tracked=second)
    assert second.drain()
    second.close()
    assert run.run_id is None or place.client.get_run(run.run_id).info.status == "RUNNING"
    run.finish()
    first.close()
    assert [stored.info.status for stored in place.runs()] == ["FINISHED"]


def test_deleted_experiment_is_restored(place):
    with place.tracking() as tracked:
        start(place, "a", tracked)[1].finish()
    place.client.delete_experiment(place.client.get_experiment_by_name("pets").experiment_id)
    with place.tracking() as tracked:
        start(place, "b", tracked)[1].finish()
        assert tracked.drain(), tracked.trouble
    assert place.client.get_experiment_by_name("pets").lifecycle_stage == "active"


def test_figures_are_kept_as_named(place):
    figure, panels = canvas(2, 2, LIGHT)
    panels[0].plot([1, 2])
    with place.tracking() as tracked:
        _, run = start(place, tracked=tracked)
        run.figure(figure, "figures/a.png")
        run.figure(figure, "figures/a.svg")
        run.artifact(Path(__file__), "source")
        run.artifact(Path(__file__).parent / "__init__.py")
        run.finish()
    kept = place.artifacts(run.run_id)
    assert kept["figures/a.png"].startswith(b"\x89PNG")
    assert b"</svg>" in kept["figures/a.svg"]
    assert kept["source/test_tracking.py"] == Path(__file__).read_bytes()
    assert "__init__.py" in kept


def test_what_is_no_saved_model_is_refused_at_once(place, tmp_path):
    with place.tracking() as tracked:
        _, run = start(place, tracked=tracked)
        with pytest.raises(InternalError, match="cannot register"):
            run.register(tmp_path, "pets", release=1)
        with pytest.raises(InternalError, match="FINISHED, FAILED, KILLED"):
            run.finish("DONE")


def test_uri_comes_from_the_environment_or_stands_beside_the_workspace(tmp_path, monkeypatch):
    workspace = Workspace.open(tmp_path / "workspace")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.tracking_uri(workspace) == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert tracking.tracking_uri(workspace) == tracking.default_uri(workspace)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert tracking.tracking_uri(workspace) == "http://tracker:5000"


def test_replay_says_what_it_did(tmp_path, monkeypatch):
    workspace = Workspace.open(tmp_path / "workspace")
    place = Workplace(tmp_path)
    assert place.uri == tracking.default_uri(workspace)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert tracking.replay(workspace) == "tracking: nothing to send"
    with tracking.open_tracking(workspace, place.notices.append) as tracked:
        start(place, tracked=tracked)[1].finish()
    assert "127.0.0.1:9 is unreachable" in place.notices[0]
    assert tracking.replay(workspace).startswith("tracking: 1 of 1 records wait for http://127.0.0.1:9 (")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.replay(workspace) == f"tracking: 1 records sent to {place.uri}"
    assert [run.info.status for run in place.runs()] == ["FINISHED"]


def test_importing_tracking_does_not_import_mlflow():
    code = "import sys, flows.tracking.tracking; sys.exit(bool({'mlflow', 'tensorflow'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=HERE, timeout=60).returncode == 0


def test_a_database_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    """kill -9 while MLflow makes its tables: it could not open what that leaves behind."""
    database = tmp_path / "mlruns" / "mlflow.db"
    code = (
        "import sys; from pathlib import Path; from flows.tracking.store.mlflow_store import Ledger; "
        "Ledger(f'sqlite:///{sys.argv[1]}', Path(sys.argv[1]).parent).client.search_experiments()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(database)], cwd=ROOT)
    while not any(path.stat().st_size for path in (tmp_path / "mlruns").glob("**/mlflow.db")):
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not database.exists()


@pyfunc
def test_a_deleted_release_leaves_the_registry(place, saved_model):
    with place.tracking() as tracked:
        write_everything(place, saved_model, tracked)
        _, second = start(place, "pets/2", tracked)
        second.register(saved_model, "pets", release=8, examples={"image_bytes": [b"abc"]}, tags={})
        second.finish()
        tracked.withdraw("pets", 7)
        tracked.withdraw("pets", 99)  # never registered: nothing to delete
        assert tracked.drain(), tracked.trouble
        assert tracked.champion("pets") is None
        (left,) = place.client.search_model_versions("name = 'pets'")
        assert left.tags["servable.release"] == "8"
        tracked.withdraw("pets", 8)
        assert tracked.drain(), tracked.trouble
    assert place.client.search_registered_models() == []
    assert place.notices == []

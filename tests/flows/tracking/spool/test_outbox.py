"""The spool: what is on disk is what was said, whoever dies when."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import StorageError, TemporaryError
from flows.tracking.spool import outbox
from flows.tracking.spool.outbox import Journal, Spool, number


def child(code, *arguments):
    """Run Python code in another process; sys.argv[1:] are the arguments."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_events_come_back_in_order_and_from_any_offset(tmp_path):
    journal = Journal(tmp_path / "run")
    for step in range(5):
        journal.append("metrics", {"metrics": {"loss": step}, "step": step}, at=1000 + step)
    events = list(journal.read())
    assert [(event.at, event.body["step"]) for event in events] == [(1000 + i, i) for i in range(5)]
    assert [event.body["step"] for event in journal.read(events[2].end)] == [3, 4]
    assert events[-1].end == journal.size()
    journal.close()


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.none())))
def test_any_text_survives(tmp_path_factory, body):
    journal = Journal(tmp_path_factory.mktemp("any") / "run")
    finite = {k: v for k, v in body.items() if not isinstance(v, float) or math.isfinite(v)}
    journal.append("params", finite | {"file": "a\udcff\n"})
    assert next(journal.read()).body == finite | {"file": "a\udcff\n"}
    journal.close()


@pytest.mark.parametrize("value", [0.1, -3, math.nan, math.inf, -math.inf, 1e308])
def test_numbers_are_strict_json_and_come_back(value):
    text = json.dumps(number(value), allow_nan=False)
    back = float(json.loads(text))
    assert back == value or (math.isnan(back) and math.isnan(value))


def test_line_torn_by_a_kill_is_dropped_and_writing_goes_on(tmp_path):
    journal = Journal(tmp_path / "run")
    journal.append("tags", {"n": 1})
    journal.close()
    with open(tmp_path / "run" / outbox.EVENTS, "ab") as stream:
        stream.write(b'{"kind": "tags", "at": 1, "bo')
    assert [event.body["n"] for event in Spool(tmp_path / "run").read()] == [1]
    journal = Journal(tmp_path / "run")
    journal.append("tags", {"n": 2})
    assert [event.body["n"] for event in journal.read()] == [1, 2]
    journal.close()


def test_damaged_line_is_named_and_the_rest_is_read(tmp_path):
    journal = Journal(tmp_path / "run")
    journal.append("tags", {"n": 1})
    with open(tmp_path / "run" / outbox.EVENTS, "ab") as stream:
        stream.write(b"\xff\x00 not json\n[]\n")
    journal.append("tags", {"n": 2})
    kinds = [event.kind for event in journal.read()]
    assert kinds == ["tags", "damaged", "damaged", "tags"]
    journal.close()


def test_one_writer_at_a_time_and_none_after_death(tmp_path):
    """A living writer is named; a killed one holds nothing, whatever it left behind."""
    code = """
        import sys, time
        from pathlib import Path
        from flows.tracking.spool.outbox import Journal
        journal = Journal(Path(sys.argv[1]))
        journal.append("tags", {"n": 1})
        print("ready", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        with pytest.raises(TemporaryError, match=f"pid {writer.pid}"):
            Journal(tmp_path / "run", patience=0)
        assert next(Spool(tmp_path / "run").read()).body == {"n": 1}
        writer.send_signal(signal.SIGKILL)
    journal = Journal(tmp_path / "run", patience=0)
    assert next(journal.read()).body == {"n": 1}
    journal.close()


def test_two_journals_in_one_process_exclude_each_other(tmp_path):
    journal = Journal(tmp_path / "run")
    with pytest.raises(TemporaryError, match=f"pid {os.getpid()}"):
        Journal(tmp_path / "run", patience=0)
    journal.close()
    journal.close()
    Journal(tmp_path / "run", patience=0).close()


def test_full_disk_is_reported_and_leaves_whole_lines(tmp_path):
    code = """
        import resource, signal, sys
        from pathlib import Path
        from features.errors import StorageError
        from flows.tracking.spool.outbox import Journal
        journal = Journal(Path(sys.argv[1]))
        journal.append("tags", {"n": 1})
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
        try:
            journal.append("tags", {"n": "x" * 1000})
        except StorageError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        journal.append("tags", {"n": 2})
    """
    done = child(code, tmp_path / "run")
    assert "cannot write tracking events" in done.stdout, done.stderr
    assert "Free disk space" in done.stdout
    assert [event.body["n"] for event in Spool(tmp_path / "run").read()] == [1, 2]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_staged_files_outlive_their_originals(tmp_path):
    journal = Journal(tmp_path / "run")
    source = tmp_path / "model"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "weights").write_bytes(b"123")
    copied, linked = journal.stage(source), journal.stage(source, name="saved_model", link=True)
    copied_file, linked_file = (tmp_path / "run" / path / "deep" / "weights" for path in (copied, linked))
    assert linked_file.stat().st_nlink == 2
    assert copied_file.stat().st_nlink == 1
    (source / "deep" / "weights").unlink()
    assert copied_file.read_bytes() == linked_file.read_bytes() == b"123"
    assert Path(linked).name == "saved_model"
    journal.unstage(linked)
    assert not linked_file.exists()
    assert copied_file.exists()
    journal.close()


@pytest.mark.parametrize("name", ["../../escape", "a/b", "..", "/etc/passwd", "\n", "ü" * 300, ""])
def test_staged_names_stay_inside(tmp_path, name):
    """I25: a name from data never leads out of the folder."""
    journal = Journal(tmp_path / "run")
    path = (tmp_path / "run" / journal.stage_bytes(name, b"x")).resolve()
    assert path.read_bytes() == b"x"
    assert path.parent.parent == (tmp_path / "run" / "files").resolve()
    journal.close()


def test_missing_file_to_stage_is_an_error_with_its_name(tmp_path):
    journal = Journal(tmp_path / "run")
    with pytest.raises(StorageError, match=r"absent\.png"):
        journal.stage(tmp_path / "absent.png")
    journal.close()


def test_state_follows_the_last_start_or_finish(tmp_path):
    journal = Journal(tmp_path / "run")
    states = [journal.last_state()]
    for kind, body in (("start", {}), ("metrics", {}), ("finish", {"status": "KILLED"}), ("resume", {})):
        journal.append(kind, body, at=len(states))
        states.append(journal.last_state())
    assert states == [("", 0), ("RUNNING", 1), ("RUNNING", 2), ("KILLED", 3), ("RUNNING", 4)]
    journal.close()


def test_cursor_is_kept_and_a_damaged_one_means_from_the_beginning(tmp_path):
    journal = Journal(tmp_path / "run")
    assert journal.cursor() == {}
    journal.save_cursor({"log": 7, "run_id": "a"})
    assert Spool(tmp_path / "run").cursor() == {"log": 7, "run_id": "a"}
    (tmp_path / "run" / outbox.CURSOR).write_text("{")
    assert journal.cursor() == {}
    journal.close()


def test_removed_folder_is_gone_at_once_and_can_be_made_again(tmp_path):
    journal = Journal(tmp_path / "run")
    journal.append("tags", {"n": 1})
    journal.close()
    stale = Spool(tmp_path / "run")
    stale.remove()
    assert list(tmp_path.iterdir()) == []
    assert not stale.owner.acquire()
    journal = Journal(tmp_path / "run")
    assert list(journal.read()) == []
    journal.close()


def test_rejected_events_are_kept(tmp_path):
    journal = Journal(tmp_path / "run")
    journal.append("tags", {"n": 1}, at=5)
    journal.reject(next(journal.read()), "because")
    kept = json.loads((tmp_path / outbox.REJECTED).read_text())
    assert kept == {"run": "run", "kind": "tags", "at": 5, "body": {"n": 1}, "reason": "because"}
    journal.close()

"""The repository and MLflow's registry, moved from either side and through crashes: never two truths."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from features.errors import DataError, ExportError, NoInputError, UsageError
from flows.promotion import moves
from flows.promotion.watch import Watch
from flows.tracking.store.aliases import ALIASES, REFUSED_TAG
from flows.workspace import Workspace
from serving.repository.labels.labels import CANARY, STABLE
from tests.flows.promotion.conftest import VERSIONS, Place

REFUSED = {"checks": [{"name": "parity", "passed": False, "got": "0.5", "expected": "at most 1e-05"}]}


def last(place: Place) -> tuple:
    event = place.history()[-1]
    return tuple(event.get(key) for key in ("event", "label", "previous", "version", "by"))


def test_an_alias_moved_in_mlflow_is_followed(place):
    place.click(STABLE, 2)
    place.settle()
    assert place.labels() == place.aliases() == {STABLE: 2, CANARY: None}
    assert last(place) == ("promote", STABLE, 1, 2, "MLflow")
    place.click(CANARY, 3)
    place.settle()
    assert place.labels() == place.aliases() == {STABLE: 2, CANARY: 3}
    assert place.history()[-1]["share"] == 10.0
    assert place.history()[-1]["metrics"] == {"accuracy": 0.3}
    place.click(CANARY, None)
    place.settle()
    assert last(place) == ("rollback", CANARY, 3, None, "MLflow")
    place.click(CANARY, 3)
    place.settle()
    # The canary becomes champion: it is a canary no longer, on either side.
    place.click(STABLE, 3)
    place.settle()
    assert place.labels() == place.aliases() == {STABLE: 3, CANARY: None}
    before = place.history()
    place.settle()
    assert place.history() == before


def test_a_move_that_the_gate_refuses_is_moved_back_with_the_reason_in_a_tag(place):
    refused = place.publish({"gate": REFUSED})
    place.register(refused)
    data = place.repository.path(place.name, 2) / "saved_model.pb"
    data.write_bytes(b"changed")
    wanted = {refused: "the gate refused version 4", 2: "saved_model.pb changed"}
    for label in (STABLE, CANARY):
        for version, words in wanted.items():
            place.click(label, version)
            place.settle()
            assert place.labels() == place.aliases() == {STABLE: 1, CANARY: None}
            tags = place.client.get_model_version(place.name, place.number(version)).tags
            assert words in tags[REFUSED_TAG]
            assert last(place) == ("refused", label, place.labels()[label], version, "MLflow")
            assert words in place.history()[-1]["reason"]
    place.click(STABLE, None)
    place.settle()
    assert place.aliases()[STABLE] == 1
    assert "needs a champion" in place.history()[-1]["reason"]
    foreign = place.register(None)
    place.client.set_registered_model_alias(place.name, ALIASES[STABLE], foreign)
    place.settle()
    assert place.aliases()[STABLE] == 1
    tags = place.client.get_model_version(place.name, foreign).tags
    assert "has no release in the repository" in tags[REFUSED_TAG]
    with pytest.raises(DataError, match="was changed after publishing"):
        moves.promote(place.workspace, place.name, 2, "x")
    with pytest.raises(ExportError, match="the gate refused version 4"):
        moves.promote(place.workspace, place.name, refused, "x", share=10)


def test_the_command_line_moves_the_aliases_and_wins_over_a_move_that_nobody_has_seen(place):
    moves.promote(place.workspace, place.name, 2, "newer")
    assert place.labels() == place.aliases() == {STABLE: 2, CANARY: None}
    place.click(STABLE, 3)
    moves.promote(place.workspace, place.name, 1, "older")
    assert place.labels() == place.aliases() == {STABLE: 1, CANARY: None}
    assert last(place) == ("refused", STABLE, 1, 3, "MLflow")
    assert "promoted in the repository meanwhile" in place.history()[-1]["reason"]
    moves.promote(place.workspace, place.name, 3, "trial", share=25)
    assert place.labels() == place.aliases() == {STABLE: 1, CANARY: 3}
    assert moves.rollback(place.workspace, place.name, "worse") == 1
    assert place.labels() == place.aliases() == {STABLE: 1, CANARY: None}


def test_a_release_that_is_not_registered_yet_is_waited_for(place):
    version = place.publish({}, promote=True)
    place.click(STABLE, 2)
    before = place.history()
    place.settle()
    assert (place.aliases()[STABLE], place.history()) == (2, before)
    place.register(version)
    place.settle()
    assert place.labels() == place.aliases() == {STABLE: version, CANARY: None}
    assert last(place) == ("refused", STABLE, version, 2, "MLflow")


def test_a_watch_looks_only_where_something_has_changed(place, monkeypatch):
    told: list[str] = []
    watch = Watch(place.workspace, [place.name], told.append)
    assert watch.follow() == 2.0
    place.click(STABLE, 2)
    watch.follow()
    assert place.labels()[STABLE] == 2
    assert told == [f"{place.name}: alias champion was moved in MLflow: stable is version 2 now"]
    watch.follow()  # it sees its own writes once
    with monkeypatch.context() as patched:
        patched.setattr(watch._registry, "look", None)  # whoever looks now fails
        watch.follow()


def test_a_watch_goes_on_while_mlflow_is_away(place, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    told: list[str] = []
    watch = Watch(place.workspace, None, told.append)
    assert [watch.follow() for _ in range(6)] == [4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert len(told) == 1
    assert "cannot reach MLflow at http://127.0.0.1:9" in told[0]


def test_a_workspace_without_a_store_gets_none(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    watch = Watch(Workspace.open(tmp_path / "workspace"), None, lambda line: None)
    assert (watch.judge(), watch.follow()) == ({}, 2.0)
    assert not (tmp_path / "mlruns").exists()


PROMOTER = """
import sys
from pathlib import Path
from flows.promotion import moves
from flows.workspace import Workspace
moves.promote(Workspace.open(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]), "killed")
"""


@pytest.mark.parametrize("point", ["move.after_record", "move.before_alias"])
def test_killed_between_the_two_writes_the_alias_follows(place, point):
    place.flag.touch()
    fault = {"SERVABLE_FAULT": f"{point}:kill", "SERVABLE_FAULT_FLAG": str(place.flag)}
    command = [sys.executable, "-c", PROMOTER, str(place.workspace.root), place.name, "2"]
    done = subprocess.run(command, env=os.environ | fault, timeout=120, check=False)
    assert done.returncode == -9
    assert (place.labels()[STABLE], place.aliases()[STABLE]) == (2, 1)
    place.settle()
    assert place.labels() == place.aliases() == {STABLE: 2, CANARY: None}
    assert last(place)[:4] == ("promote", STABLE, 1, 2)


#: Where a process may be killed: nowhere, before or after a record, or with MLflow away.
POINTS = st.sampled_from([None, None, "move.after_record", "move.before_alias"])
SOME = st.sampled_from(VERSIONS)


class Machine(RuleBasedStateMachine):
    """People at the command line, people in MLflow's UI, a watch, crashes and an MLflow that is away."""

    make: Callable[[], Place]
    store: str

    def __init__(self) -> None:
        super().__init__()
        self.place = type(self).make()
        self.place.settle()
        self.unregistered: list[int] = []
        #: Moves in the UI that nobody has overwritten there: label to version, history and label then.
        self.clicks: dict[str, tuple[int | None, int, int | None]] = {}

    def command(self, work: Callable[[], object], point: str | None) -> None:
        # There may be no earlier version, or the canary may be stable already: nothing is done then.
        with self.place.struck(point), suppress(UsageError, NoInputError):
            work()

    @rule(version=SOME, point=POINTS)
    def promote(self, version, point):
        place = self.place
        self.command(lambda: moves.promote(place.workspace, place.name, version, "promote"), point)

    @rule(version=SOME, point=POINTS, share=st.sampled_from([10, 50]))
    def try_out(self, version, point, share):
        place = self.place
        self.command(lambda: moves.promote(place.workspace, place.name, version, "try", share=share), point)

    @rule(point=POINTS)
    def roll_back(self, point):
        self.command(lambda: moves.rollback(self.place.workspace, self.place.name, "back"), point)

    @rule(version=SOME)
    def promote_while_mlflow_is_away(self, version):
        os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
        try:
            moves.promote(self.place.workspace, self.place.name, version, "away")
        finally:
            os.environ["MLFLOW_TRACKING_URI"] = type(self).store

    @precondition(lambda self: len(self.unregistered) < 1)
    @rule()
    def publish(self):
        self.unregistered.append(self.place.publish({}, promote=True))

    @precondition(lambda self: self.unregistered)
    @rule()
    def register(self):
        self.place.register(self.unregistered.pop())

    @rule(label=st.sampled_from([STABLE, CANARY]), version=st.sampled_from([None, *VERSIONS]))
    def click(self, label, version):
        if self.place.aliases()[label] != version:
            self.place.click(label, version)
            self.clicks[label] = (version, len(self.place.history()), self.place.labels()[label])

    @rule(point=POINTS)
    def watch(self, point):
        with self.place.struck(point):
            self.place.settle()

    @rule()
    def send(self):
        self.place.drain()

    @rule()
    def quiet(self):
        place = self.place
        while self.unregistered:
            place.register(self.unregistered.pop())
        place.drain()
        for _ in range(2):
            place.settle()
        assert place.labels() == place.aliases()
        before = place.history()
        place.settle()
        assert place.history() == before
        for label, click in self.clicks.items():
            self.check_recorded(label, *click)
        self.clicks.clear()
        self.check_chain()

    def check_recorded(self, label, version, since, then):
        """Check that a move in the UI was followed, refused, or made at the command line as well."""
        events = self.place.history()[since:]
        shown = {event["version"] for event in events if event.get("label") == label} | {then}
        if label == CANARY and any(event.get("label") == STABLE for event in events):
            shown.add(None)
        assert version in shown

    def check_chain(self):
        """Check that each move of stable begins where the one before it ended."""
        chain = [e for e in self.place.history() if e.get("label") == STABLE and e["event"] != "refused"]
        for earlier, later in itertools.pairwise(chain):
            assert later["previous"] == earlier["version"]

    def teardown(self):
        self.quiet()
        self.place.forget()
        shutil.rmtree(self.place.workspace.root)


def test_never_two_truths_once_it_is_quiet_and_every_move_is_in_the_history(make, store):
    chosen = hypothesis.settings(
        max_examples=int(os.environ.get("SERVABLE_MACHINE_EXAMPLES", "3")),
        stateful_step_count=12,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    machine = type("Machine", (Machine,), {"make": staticmethod(make), "store": store})
    run_state_machine_as_test(machine, settings=chosen)

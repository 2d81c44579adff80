"""Random moves, crashes after a move's record, and time: one answer to what is in service."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from features.errors import NoInputError, UsageError
from serving.repository.labels import server_config
from serving.repository.repository import Repository

CRASHES = st.sampled_from([False, False, True])
NUMBERS = st.integers(1, 6)


class Labels(RuleBasedStateMachine):
    """The repository beside a plain account of what it should say."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="servable-labels-"))
        self.candidate = self.root / "candidate"
        self.candidate.mkdir()
        (self.candidate / "saved_model.pb").write_bytes(b"graph")
        self.flag = self.root / "flag"
        self.flag.touch()
        self.repository = Repository(self.root / "repository")
        self.versions: list[int] = []
        self.stable: int | None = None
        self.canary: int | None = None
        self.stack: list[int] = []
        self.moves = 0

    def crash(self, work, crashes: bool) -> None:
        """Do a move, and crash after its record."""
        os.environ["SERVABLE_FAULT_FLAG"] = str(self.flag)
        if crashes:
            os.environ["SERVABLE_FAULT"] = "move.after_record:raise"
        try:
            with suppress(RuntimeError):
                work()
        finally:
            os.environ.pop("SERVABLE_FAULT", None)

    def became_stable(self, version: int) -> None:
        if version in self.stack:
            del self.stack[self.stack.index(version) :]
        self.stack.append(version)
        self.stable, self.canary, self.moves = version, None, self.moves + 1

    @initialize()
    def begin(self):
        self.publish(True)
        self.publish(False)

    @rule(promoted=st.booleans())
    def publish(self, promoted):
        release = self.repository.publish("pets", self.candidate, {}, promote=promoted)
        assert release.version not in self.versions
        self.versions.append(release.version)
        if promoted:
            self.became_stable(release.version)

    @rule(version=NUMBERS, crashes=CRASHES)
    def promote(self, version, crashes):
        if version not in self.versions:
            with suppress(NoInputError):
                self.repository.promote("pets", version, "x")
                raise AssertionError("it is not there")
            return
        self.crash(lambda: self.repository.promote("pets", version, "x"), crashes)
        self.became_stable(version)

    @rule(version=NUMBERS, share=st.floats(0, 100), crashes=CRASHES)
    def try_out(self, version, share, crashes):
        try:
            self.crash(lambda: self.repository.promote("pets", version, "x", share=share), crashes)
        except (NoInputError, UsageError):
            assert version not in self.versions or version == self.stable
            return
        self.canary, self.moves = version, self.moves + 1

    @rule(crashes=CRASHES)
    def roll_back(self, crashes):
        left = [version for version in self.stack if version in self.versions and version != self.stable]
        try:
            self.crash(lambda: self.repository.rollback("pets", "x"), crashes)
        except NoInputError:
            assert self.canary is None
            assert not left
            return
        if self.canary is not None:
            self.canary, self.moves = None, self.moves + 1
        else:
            self.became_stable(left[-1])

    @rule(version=NUMBERS)
    def delete(self, version):
        try:
            self.repository.delete("pets", version, "x")
        except (NoInputError, UsageError):
            assert version not in self.versions or version in (self.stable, self.canary)
            return
        self.versions.remove(version)

    @rule()
    def repair(self):
        assert self.repository.repair() == []

    @rule()
    def servers_follow(self):
        """After two steps with the time to load in between, the file says what the history says."""
        for _ in range(2):
            os.utime(self.repository.root / "models.config", (0, 0))
            self.repository.write_config()
        written = server_config.read((self.repository.root / "models.config").read_text())["pets"]
        wanted = {"stable": self.stable, "canary": self.canary}
        assert written.labels == {label: version for label, version in wanted.items() if version}
        assert set(written.versions) == set(written.labels.values())

    @invariant()
    def says_what_it_should(self):
        fresh = Repository(self.repository.root)
        assert fresh.versions("pets") == sorted(self.versions)
        assert fresh.stable("pets") == self.stable
        assert fresh.labelled("pets", "canary") == self.canary
        events = fresh.history("pets")
        assert sum(event["event"] in ("promote", "rollback") for event in events) == self.moves

    @invariant()
    def serves_what_is_there(self):
        path = self.repository.root / "models.config"
        if path.is_file():
            written = server_config.read(path.read_text())["pets"]
            assert set(written.labels.values()) <= set(written.versions)

    def teardown(self):
        shutil.rmtree(self.root)


TestLabels = Labels.TestCase
TestLabels.settings = settings(
    max_examples=int(os.environ.get("SERVABLE_MACHINE_EXAMPLES", "10")),
    stateful_step_count=15,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

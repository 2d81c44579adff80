"""Which clients a canary answers, and what servers tell of it."""

import itertools
import math
import uuid
from random import Random

import numpy as np
import pytest

from serving.repository import traffic
from serving.repository.labels.labels import Canary
from serving.repository.traffic import Counter

SINCE = "2026-01-01T00:00:00.000+00:00"
#: What clients are told apart by in practice.
KEYS = {
    "numbers": [str(number) for number in range(10_000)],
    "users": [f"user-{number}@example.org" for number in range(10_000)],
    "uuids": [str(uuid.UUID(int=Random(7).getrandbits(128) + number)) for number in range(10_000)],
    "connections": [f"ipv4:10.0.{n // 250}.{n % 250}:{40000 + n}" for n in range(10_000)],
    "names": [f"Zoë {first}{second}" for first, second in itertools.product(range(100), range(100))],
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("share", [1, 10, 25, 50, 90])
def test_the_share_is_kept_within_one_percent_over_10000_clients(kind, share):
    canary = Canary(3, share, SINCE)
    answered = sum(canary.answers("pets", key) for key in KEYS[kind])
    assert abs(answered / 100 - share) < 1


def test_nobody_and_everybody():
    keys = KEYS["users"]
    assert not any(Canary(3, 0, SINCE).answers("pets", key) for key in keys)
    assert all(Canary(3, 100, SINCE).answers("pets", key) for key in keys)


def test_a_client_stays_with_its_version_and_a_larger_share_only_adds_clients():
    keys = KEYS["users"]
    shares = [{key for key in keys if Canary(3, share, SINCE).answers("pets", key)} for share in (10, 25, 50)]
    assert shares[0] < shares[1] < shares[2]
    later = Canary(3, 25, "2026-02-01T00:00:00.000+00:00")
    assert {key for key in keys if later.answers("pets", key)} == shares[1]


@pytest.mark.parametrize(("model", "version"), [("birds", 3), ("pets", 4)])
def test_other_canaries_are_tried_on_other_clients(model, version):
    keys = KEYS["users"]
    both = sum(
        Canary(3, 25, SINCE).answers("pets", key) and Canary(version, 25, SINCE).answers(model, key)
        for key in keys
    )
    assert abs(both / len(keys) - 0.25 * 0.25) < 0.01


def test_servers_are_added_up_and_other_trials_left_out(tmp_path):
    base = tmp_path / "pets"
    (base / ".servable").mkdir(parents=True)
    trial, other = Canary(3, 25, SINCE), Canary(4, 25, SINCE)
    counts = {name: Counter() for name in ("stable", "canary")}
    latencies = np.random.default_rng(0).lognormal(-5, 0.5, 4000)
    for latency in latencies:
        counts["stable"].answered(latency, [0.25, 0.75], ["cat", "dog" * 100])
    counts["canary"].answered(0.1, [])
    counts["canary"].failed()
    for number, told in enumerate((trial, trial, other)):
        traffic.write(base, f"{number}.json", told, counts["stable"], counts["canary"], "")
    (base / ".servable" / "traffic" / "torn.json").write_text('{"version": 3')
    told = traffic.read(base, trial)
    assert (told.servers, told.stable.requests, told.stable.errors) == (2, 8000, 0)
    assert (told.canary.requests, told.canary.errors, told.trouble) == (4, 2, "")
    # The latest 200 of each server.
    assert told.stable.scores == (0.25, 0.75) * 200
    assert told.stable.labels == ("cat", ("dog" * 100)[:100]) * 200
    assert not told.confidence
    # A bucket is a fifth wide: 2 ** (1 / 4).
    for share in (0.1, 0.5, 0.9):
        assert told.stable.quantile(share) == pytest.approx(np.quantile(latencies, share), rel=0.05)
    assert math.isnan(told.stable.since(told.stable).quantile(0.5))
    assert told.stable.since(told.stable).requests == 0
    traffic.clear(base, other)
    assert traffic.read(base, trial).servers == 0
    assert traffic.read(base, other).servers == 1

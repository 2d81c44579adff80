"""One thing the gate looked at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing the gate looked at."""

    name: str
    passed: bool
    got: str
    expected: str

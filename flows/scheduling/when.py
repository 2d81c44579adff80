"""When a scheduled training is due."""

import asyncio
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from features.errors import UsageError

if TYPE_CHECKING:
    from prefect.schedules import Schedule

#: Prefect plans no run that is further away than a hundred days.
LONGEST_INTERVAL = 100 * 24 * 3600


@dataclass(frozen=True)
class When:
    """When a training is due: by a cron expression, every so many seconds, by a rule of iCalendar, on drift.

    Attributes:
        cron: of five fields.
        interval: in seconds, from 1 to a hundred days.
        rrule: of RFC 5545, such as ``FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=3``.
        timezone: IANA name that the hours of the others are of.
        on_drift: at no time of its own: ``servable monitor --retrain`` starts it.
    """

    cron: str | None = None
    interval: int | None = None
    rrule: str | None = None
    timezone: str = "UTC"
    on_drift: bool = False

    def __str__(self) -> str:
        """Describe it in words."""
        if self.on_drift:
            return "on drift"
        if self.interval is not None:
            return f"every {self.interval} seconds"
        return f"at '{self.cron if self.cron is not None else self.rrule}' {self.timezone}"

    def check(self) -> None:
        """Find out whether exactly one is given, and whether it is in range.

        Raises:
            UsageError: otherwise.
        """
        given = [name for name in ("cron", "interval", "rrule") if getattr(self, name) is not None]
        if self.on_drift and given:
            raise UsageError(
                "a training on drift has no times",
                got=f"--on-drift with --{given[0]}",
                todo="leave one out; servable monitor --retrain starts scheduled trainings, too",
            )
        if not self.on_drift and len(given) != 1:
            raise UsageError(
                "the schedule needs one of --cron, --interval and --rrule",
                got="both" if len(given) == 2 else "all" if given else "neither",
                expected="--cron 'FIVE FIELDS', --interval SECONDS or --rrule RULE",
            )
        if self.interval is not None and not 1 <= self.interval <= LONGEST_INTERVAL:
            raise UsageError(
                "invalid --interval", got=self.interval, expected=f"1 to {LONGEST_INTERVAL} seconds"
            )
        # Six fields would be read with the seconds last, where other programs have them first.
        if self.cron is not None and not (len(self.cron.split()) == 5 or self.cron.startswith("@")):
            raise _unreadable("--cron", self.cron, _CRON)
        if self.timezone not in zoneinfo.available_timezones():
            raise UsageError(
                "no such time zone",
                got=ascii(self.timezone),
                expected="an IANA name, such as Europe/Berlin or UTC",
            )

    def schedule(self) -> "Schedule | None":
        """Make Prefect's schedule of it; None for one on drift.

        Raises:
            UsageError: the expression cannot be read, or no date ever fits it.
        """
        from prefect.schedules import Cron, Interval, RRule

        self.check()
        if self.on_drift:
            return None
        if self.interval is not None:
            return Interval(self.interval, timezone=self.timezone)
        if self.rrule is not None:
            _require_dates(_rule_dates(self.rrule, self.timezone), "--rrule", self.rrule, _RULE)
            return RRule(self.rrule, timezone=self.timezone)
        cron = str(self.cron)
        _require_dates(_cron_dates(cron, self.timezone), "--cron", cron, _CRON)
        return Cron(cron, timezone=self.timezone)


_CRON = "five fields that match some date, such as '0 3 * * *'"
_RULE = "a rule of RFC 5545 that matches some date, such as FREQ=DAILY;BYHOUR=3"


def _unreadable(option: str, value: str, expected: str) -> UsageError:
    return UsageError(f"cannot read {option}", got=ascii(value), expected=expected)


def _require_dates(dates: Callable[[], Any], option: str, value: str, expected: str) -> None:
    """Refuse what Prefect's server cannot schedule: what cannot be read, or the 30th of February."""
    try:
        known = bool(dates())
    except ValueError:
        known = False
    if not known:
        raise _unreadable(option, value, expected)


def _cron_dates(cron: str, timezone: str) -> Callable[[], Any]:
    from prefect.server.schemas.schedules import CronSchedule

    return lambda: asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(1))


def _rule_dates(rule: str, timezone: str) -> Callable[[], Any]:
    from prefect.server.schemas.schedules import RRuleSchedule

    return lambda: asyncio.run(RRuleSchedule(rrule=rule, timezone=timezone).get_dates(1))

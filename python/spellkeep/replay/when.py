"""When a scheduled replay is due."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self
from zoneinfo import ZoneInfo

from spellkeep.errors import LimitExceeded

_TEN_YEARS_S = 315_576_000.0
# So many times that were missed are counted, of a cron expression.
_MISSED_MAX = 1000


def _wrong(detail: str) -> LimitExceeded:
    return LimitExceeded(detail, code="replay.option")


@dataclass(frozen=True, kw_only=True)
class When:
    """One of: once at a time, once after a delay, at an interval, by a cron expression in a zone."""

    at: datetime | None = None
    after_s: float | None = None
    every_s: float | None = None
    cron: str | None = None
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what says nothing, two things, or what never comes."""
        if sum(each is not None for each in (self.at, self.after_s, self.every_s, self.cron)) != 1:
            raise TypeError("give one of at=, after_s=, every_s= and cron=")
        if not isinstance(self.at, datetime | None):
            raise TypeError(f"at= is a datetime, not {self.at!r}")
        if not isinstance(self.cron, str | None) or not isinstance(self.zone, str):
            raise TypeError(f"cron= and zone= are texts, not {self.cron!r} and {self.zone!r}")
        if self.after_s is not None and not 0 <= self.after_s <= _TEN_YEARS_S:
            raise _wrong("after_s is 0 seconds to ten years")
        if self.every_s is not None and not 1 <= self.every_s <= _TEN_YEARS_S:
            raise _wrong("every_s is 1 second to ten years")
        if self.at is not None:
            # A time without a zone is local, as `datetime` has it.
            object.__setattr__(self, "at", self.at.astimezone(UTC))
        _zone(self.zone)
        if self.cron is not None and self._cron_after(datetime.now(UTC)) is None:
            raise _wrong(f"{self.cron!r} never comes")

    def first(self, now: datetime) -> datetime:
        """When it is due for the first time."""
        if self.at is not None:
            return self.at
        if (delay_s := self.after_s if self.every_s is None else self.every_s) is not None:
            return now + timedelta(seconds=delay_s)
        found = self._cron_after(now)
        assert found is not None
        return found

    def following(self, due: datetime, now: datetime) -> tuple[datetime | None, int]:
        """When it is due again after the time that is run now, and how many times between were missed.

        Later than both, so that a clock that is set back runs nothing a second time.
        """
        if self.every_s is not None:
            missed = max(int((now - due).total_seconds() // self.every_s), 0)
            return due + timedelta(seconds=self.every_s) * (missed + 1), missed
        if self.cron is None:
            return None, 0
        found, missed = self._cron_after(due), 0
        while found is not None and found <= now:
            missed += 1
            found = self._cron_after(now if missed >= _MISSED_MAX else found)
        return found, missed

    def _cron_after(self, moment: datetime) -> datetime | None:
        from cronsim import CronSim, CronSimError

        assert self.cron is not None
        try:
            found = next(CronSim(self.cron, moment.astimezone(_zone(self.zone))), None)
        except CronSimError as error:
            raise _wrong(f"{self.cron!r} is no cron expression: {error}") from None
        return None if found is None else found.astimezone(UTC)

    def document(self) -> dict[str, Any]:
        """What is stored."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` gave. It was checked, and is read also where its zone is not known."""
        made = object.__new__(cls)
        made.__dict__.update(document)
        return made

    def __str__(self) -> str:
        if self.at is not None:
            return f"at {self.at.isoformat()}"
        if self.after_s is not None:
            return f"after {self.after_s:g} s"
        return f"every {self.every_s:g} s" if self.every_s is not None else f"cron {self.cron} ({self.zone})"


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise _wrong(f"{name!r} is no time zone that this system knows, such as Europe/Paris") from None

"""A silence and what it covers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.signals import Level
from notification_gateway.policy.matching import Described, Subject, matches
from notification_gateway.policy.model import Condition


class Matcher(BaseModel):
    """What is silenced; all named properties must match. `fingerprint` takes globs as in the policy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fingerprint: Annotated[tuple[str, ...] | None, Field(min_length=1, examples=[["airflow", "*", "*"]])] = None
    level: Level | None = None
    category: str | None = None
    service: str | None = None
    environment: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any((self.fingerprint, self.level, self.category, self.service, self.environment)):
            raise ValueError("name at least one of fingerprint, level, category, service, environment")
        return self

    def covers(self, described: Described) -> bool:
        """Say whether a signal or an incident is silenced."""
        if self.environment not in (None, described.environment):
            return False
        named = self.model_dump(exclude={"environment"}, exclude_none=True)
        return not named or matches(Condition(**named), Subject.of(described))


@dataclass(frozen=True)
class Silence:
    """A matcher and its time."""

    id: int
    matcher: Matcher
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class Silences:
    """Those that hold at some time."""

    active: Sequence[Silence] = ()

    def covering(self, described: Described, now: datetime) -> int | None:
        """Return the id of a silence that covers the signal or incident now, or None."""
        for silence in self.active:
            if silence.starts_at <= now < silence.ends_at and silence.matcher.covers(described):
                return silence.id
        return None

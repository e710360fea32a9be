"""A silence and what it covers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contracts.signals import MAX_FINGERPRINT_PART_CHARS, MAX_FINGERPRINT_PARTS, Level
from contracts.text import TypedText
from notification_gateway.policy.matching import Described, Subject, matches
from notification_gateway.policy.model import Condition
from notification_gateway.unreadable import first_problem


class Matcher(BaseModel):
    """What is silenced, as it is stored; all named properties must match. `fingerprint` takes globs as in the policy.

    One with a property that this release doesn't know is not read: it would silence more than was asked for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fingerprint: Annotated[
        tuple[str, ...] | None,
        Field(min_length=1, examples=[["airflow", "*", "*"]], description="Parts of the fingerprint, with globs"),
    ] = None
    level: Annotated[Level | None, Field(description="Level of the incident")] = None
    category: Annotated[str | None, Field(description="Category of the point")] = None
    service: Annotated[str | None, Field(description="Service that reports")] = None
    environment: Annotated[str | None, Field(description="Environment of the reporter")] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any((self.fingerprint, self.level, self.category, self.service, self.environment)):
            raise ValueError("name at least one of fingerprint, level, category, service, environment")
        named = self._named()
        if named:
            # Here and not when a signal is judged: what can't be a condition must not stop all signals.
            try:
                Condition(**named)
            except ValidationError as error:
                raise ValueError(first_problem(error)) from error
        return self

    def covers(self, described: Described) -> bool:
        """Say whether a signal or an incident is silenced."""
        if self.environment not in (None, described.environment):
            return False
        named = self._named()
        return not named or matches(Condition(**named), Subject.of(described))

    def _named(self) -> dict[str, Any]:
        return self.model_dump(exclude={"environment"}, exclude_none=True)


_Name = Annotated[str, TypedText(64, min_chars=1)]
# As many as a fingerprint has at most, and "**" behind them.
_Parts = Annotated[
    tuple[Annotated[str, TypedText(MAX_FINGERPRINT_PART_CHARS)], ...],
    Field(min_length=1, max_length=MAX_FINGERPRINT_PARTS + 1, examples=[["airflow", "*", "*"]]),
]


class NewMatcher(Matcher):
    """What is to be silenced; all named properties must match. `fingerprint` takes globs as in the policy."""

    fingerprint: Annotated[_Parts | None, Field(description="Parts of the fingerprint, with globs")] = None
    category: Annotated[_Name | None, Field(description="Category of the point")] = None
    service: Annotated[_Name | None, Field(description="Service that reports")] = None
    environment: Annotated[_Name | None, Field(description="Environment of the reporter")] = None


@dataclass(frozen=True)
class Silence:
    """A matcher and its time."""

    id: Annotated[int, Field(description="Id of the silence", examples=[5])]
    matcher: Annotated[Matcher, Field(description="Which incidents it covers")]
    starts_at: Annotated[datetime, Field(description="When it begins", examples=["2026-11-24T03:10:00Z"])]
    ends_at: Annotated[datetime, Field(description="When it ends", examples=["2026-11-24T04:10:00Z"])]
    reason: Annotated[str, Field(description="Why", examples=["planned upgrade of Redis"])]
    created_by: Annotated[str, Field(description="Who silenced", examples=["li.wei"])]
    created_at: Annotated[datetime, Field(description="When it was made", examples=["2026-11-24T03:10:00Z"])]


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

"""Silences and their matchers."""

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
    """The stored matcher of a silence; all named properties must match. `fingerprint` may hold globs, as in the policy.

    A matcher with an unknown property is invalid: without the property it would silence too much.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fingerprint: Annotated[
        tuple[str, ...] | None,
        Field(min_length=1, examples=[["redis", "*"]], description="Parts of the fingerprint, with globs"),
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
            # Checked here: an invalid condition must not fail the evaluation of signals.
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
# The most parts of a fingerprint, and a final "**".
_Parts = Annotated[
    tuple[Annotated[str, TypedText(MAX_FINGERPRINT_PART_CHARS)], ...],
    Field(min_length=1, max_length=MAX_FINGERPRINT_PARTS + 1),
]


class NewMatcher(Matcher):
    """The matcher of a new silence; all named properties must match. `fingerprint` may hold globs, as in the policy."""

    fingerprint: Annotated[
        _Parts | None, Field(examples=[["redis", "*"]], description="Parts of the fingerprint, with globs")
    ] = None
    category: Annotated[_Name | None, Field(description="Category of the point")] = None
    service: Annotated[_Name | None, Field(description="Service that reports")] = None
    environment: Annotated[_Name | None, Field(description="Environment of the reporter")] = None


@dataclass(frozen=True)
class Silence:
    """A silence: a matcher with its period, reason and author."""

    id: Annotated[int, Field(description="Id of the silence", examples=[5])]
    matcher: Annotated[Matcher, Field(description="Which incidents it covers")]
    starts_at: Annotated[datetime, Field(description="When it begins", examples=["2026-11-24T03:10:00Z"])]
    ends_at: Annotated[datetime, Field(description="When it ends", examples=["2026-11-24T05:10:00Z"])]
    reason: Annotated[str, Field(description="Why", examples=["planned upgrade of Redis"])]
    created_by: Annotated[str, Field(description="Who silenced", examples=["li.wei"])]
    created_at: Annotated[datetime, Field(description="When it was made", examples=["2026-11-24T03:10:00Z"])]


@dataclass(frozen=True)
class Silences:
    """The silences that are active at some time."""

    active: Sequence[Silence] = ()

    def find_covering(self, described: Described, now: datetime) -> int | None:
        """Return the id of a silence that covers the signal or incident now, or None."""
        for silence in self.active:
            if silence.starts_at <= now < silence.ends_at and silence.matcher.covers(described):
                return silence.id
        return None

"""HTTP API of dead letters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import Field

from contracts.moments import LATEST
from feature_sync.connections import REDIS_ERRORS
from feature_sync.dead_letters.bodies import (
    MAX_LISTED,
    OLDER_THAN_TEXT,
    REASON_TEXT,
    AgeSeconds,
    DroppedLetters,
    HeldLetter,
    HeldLetters,
    LetterSelection,
    Reason,
    ReplayedLetters,
)
from feature_sync.errors import DeadLettersUnavailableError
from feature_sync.events.dead_letters import DeadLetters, Selection, StoredLetter
from servicekit.bearer import Access
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

_MAX_CONTENT = 500


def router(letters: DeadLetters, access: Access) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["dead letters"])
    guard = access.allow("admin")
    unavailable = problem_responses(service_unavailable="Redis doesn't answer; the call may be repeated")

    @made.get("/dead-letters", responses=unavailable, dependencies=guard)
    async def get_dead_letters(
        limit: Annotated[int, Field(ge=1, le=MAX_LISTED), Query(description="Most letters in the answer")] = 100,
        reason: Annotated[Reason | None, Query(description=REASON_TEXT)] = None,
        older_than_seconds: Annotated[AgeSeconds | None, Query(description=OLDER_THAN_TEXT)] = None,
    ) -> HeldLetters:
        """Return the entries that could not be processed, oldest first."""
        selection = Selection(reason=reason or "", older_than=older_than_seconds or 0.0)
        async with _translate_errors(letters):
            found = await letters.list(limit, selection)
            return HeldLetters(dead_letters=[_held(each) for each in found], total=await _total(letters))

    @made.post("/dead-letters/replay", responses=unavailable, dependencies=guard)
    async def replay(selection: LetterSelection) -> ReplayedLetters:
        """Put entries back into the event stream, each once: remove the cause first, or they become letters again."""
        async with _translate_errors(letters):
            done = await letters.replay(_selection(selection))
            return ReplayedLetters(replayed=done.added, already_replayed=done.repeated, total=await _total(letters))

    @made.post("/dead-letters/drop", responses=unavailable, dependencies=guard)
    async def drop(selection: LetterSelection) -> DroppedLetters:
        """Delete dead letters for good."""
        async with _translate_errors(letters):
            dropped = await letters.drop(_selection(selection))
            return DroppedLetters(dropped=dropped, total=await _total(letters))

    return made


def _selection(given: LetterSelection) -> Selection:
    return Selection(frozenset(given.ids or ()), given.reason or "", given.older_than_seconds or 0.0)


def _held(letter: StoredLetter) -> HeldLetter:
    content = b" ".join(letter.fields.values())[: 4 * _MAX_CONTENT].decode("utf-8", "replace")[:_MAX_CONTENT]
    return HeldLetter(
        id=letter.id,
        entry=letter.entry,
        created_at=datetime.fromtimestamp(min(letter.created_at, LATEST.timestamp()), UTC),
        reason=letter.reason,
        replayed=letter.was_replayed,
        content=content,
    )


async def _total(letters: DeadLetters) -> int:
    return (await letters.counts()).count


@asynccontextmanager
async def _translate_errors(letters: DeadLetters) -> AsyncIterator[None]:
    try:
        yield
    except REDIS_ERRORS as error:
        raise DeadLettersUnavailableError(await letters.describe_error(error)) from error

"""`python -m feature_sync dead-letters`: show entries that could not be processed, and queue them again."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from feature_sync.connections import REDIS_ERRORS, open_redis
from feature_sync.events.dead_letters import DeadLetters
from feature_sync.settings import Settings
from servicekit.redis_urls import disconnect

UNUSABLE, UNREACHABLE = 2, 3
_MAX_SHOWN = 120


def main(arguments: Sequence[str]) -> int:
    """Return 0, 2 for unusable settings, 3 if Redis doesn't answer."""
    parser = argparse.ArgumentParser(prog="python -m feature_sync dead-letters", description=__doc__)
    parser.add_argument("--limit", type=int, default=100, help="maximum number of entries, oldest first (100)")
    parser.add_argument("--requeue", action="store_true", help="put the entries into the event stream again")
    given = parser.parse_args(arguments)
    try:
        settings = Settings()
    except ValidationError as error:
        sys.stderr.write(f"feature-sync: unusable settings: {error.errors(include_input=False)[0]['msg']}\n")
        return UNUSABLE
    try:
        asyncio.run(_show(settings, given.limit, requeue=given.requeue))
    except REDIS_ERRORS as error:
        sys.stderr.write(f"feature-sync: Redis doesn't answer: {type(error).__name__}\n")
        return UNREACHABLE
    return 0


async def _show(settings: Settings, limit: int, *, requeue: bool) -> None:
    redis = open_redis(settings.redis_url.get_secret_value())
    try:
        letters = DeadLetters(redis, settings.dead_letters_max)
        found = await letters.list(limit)
        for letter in found:
            body = b" ".join(letter.fields.values()).decode("utf-8", "replace")[:_MAX_SHOWN]
            sys.stdout.write(f"{letter.id}  {letter.reason}\n    {body!a}\n")
            if requeue:
                await letters.requeue(letter)
        total = (await letters.counts()).count
        sys.stdout.write(f"{len(found)} {'queued again' if requeue else 'shown'}, {total} stored\n")
    finally:
        await disconnect(redis)

"""`python -m pipeline renumber`: show the changes, or apply them."""

import asyncio
from collections.abc import Callable

from sqlalchemy import Engine

from pipeline.business.database import open_engine
from pipeline.errors import InputError
from pipeline.renumber.business import changes_of, forget_changes, renumber_tables
from pipeline.renumber.changes import IdChanges
from pipeline.renumber.event_log import count_events, open_event_log, renumber_events
from pipeline.renumber.live_state import LiveState
from pipeline.settings import Settings

_EXAMPLES = 5


def renumber(settings: Settings, say: Callable[[str], None], *, apply: bool, with_redis: bool) -> None:
    """Show the changes, and apply them with `apply`; raises `PipelineError`."""
    business = open_engine(settings.business_database_url.get_secret_value(), "BUSINESS_DATABASE_URL")
    events = open_event_log(settings.database_url)
    live = _open_redis(settings) if with_redis else None
    changes, begun = changes_of(business)
    if not changes:
        say("every id is the number that its external id stands for: nothing to renumber")
        return
    if begun:
        say("an earlier renumbering was started: the business tables are done, the rest follows")
    asyncio.run(_renumber(business, events, live, changes, say, apply=apply))


async def _renumber(
    business: Engine,
    events: Engine | None,
    live: LiveState | None,
    changes: IdChanges,
    say: Callable[[str], None],
    *,
    apply: bool,
) -> None:
    _show(changes, events, say)
    if live is None:
        say("Redis: skipped")
        if apply:
            _apply_databases(business, events, say)
            forget_changes(business)
    else:
        async with live:
            waiting = await live.waiting_events()
            say(f"Redis: {await live.count_histories():,} live histories move; snapshot, caches and trends are dropped")
            if waiting and apply:
                raise InputError(
                    f"{waiting:,} events wait in the stream under the old ids: stop recommender-api, let feature-sync "
                    "take them (its /health counts them), stop it, then start again. Nothing was changed"
                )
            if apply:
                changed = _apply_databases(business, events, say)
                moved = await live.renumber(changed)
                say(f"Redis: {moved:,} live histories moved")
                forget_changes(business)
                await live.forget()
    if not apply:
        say("nothing was changed; --apply applies the changes")
        return
    say("done. Train and deploy a model before you start recommender-api again: the current one has the old ids")


def _apply_databases(business: Engine, events: Engine | None, say: Callable[[str], None]) -> IdChanges:
    changes = renumber_tables(business)
    say("business tables: renumbered")
    if events is not None:
        say("event log: renumbered" if renumber_events(events, changes) else "event log: nothing left to do")
    return changes


def _show(changes: IdChanges, events: Engine | None, say: Callable[[str], None]) -> None:
    for kind, rows in changes.rows.items():
        say(f"{len(rows):,} {kind}s get another number")
        for row in rows[:_EXAMPLES]:
            say(f"  {row.external_id}: {row.old} becomes {row.new}")
    if events is None:
        say("event log: none (DATABASE_URL)")
        return
    counts = count_events(events, changes)
    say(f"event log: {counts.events:,} events")
    for kind, count in counts.unknown.items():
        if count:
            say(f"  {count:,} of them are about {kind}s that the business tables don't renumber; these keep their ids")


def _open_redis(settings: Settings) -> LiveState:
    if settings.redis_url is None:
        raise InputError(
            "REDIS_URL: live features have to be renumbered, too; set it, or say --without-redis if there is no Redis"
        )
    return LiveState(settings.redis_url.get_secret_value())

"""The composition root of feature-sync."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from feature_sync.connections import LOST_ERRORS, RedisFaults, open_redis
from feature_sync.events.consumer import EventConsumer
from feature_sync.events.dead_letters import DeadLetters
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import SCHEMA, EventLog
from feature_sync.events.stream import EventStream
from feature_sync.health import HealthReport
from feature_sync.hot.windows import HotWindows
from feature_sync.metrics import Metrics
from feature_sync.settings import Settings
from feature_sync.snapshots import endpoints
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.switch import SnapshotSwitch
from feature_sync.withdrawal import assembly as withdrawal
from servicekit import operations
from servicekit.app import base_app
from servicekit.background import BackgroundLoops
from servicekit.database import migrate, open_database
from servicekit.health import Check
from servicekit.redis_urls import disconnect

SERVICE = "feature-sync"
HOT_REFRESH_SECONDS = 0.5
_MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(settings: Settings) -> FastAPI:
    """Build the worker and its HTTP side; nothing is opened before its lifespan starts."""
    url = settings.redis_url.get_secret_value()
    redis, faults, metrics = open_redis(url), RedisFaults(url), Metrics()
    engine = open_database(settings.database_url.get_secret_value(), SCHEMA)
    log = EventLog(engine)
    switch = SnapshotSwitch(redis)
    jobs = SyncJobs(switch, faults, metrics)
    # The same name after a restart, so that entries taken before are continued at once.
    consumer_name = settings.consumer_name or f"{socket.gethostname()}-{settings.port}"
    stream = EventStream(redis, consumer_name, settings.event_batch)
    dead_letters = DeadLetters(redis, settings.dead_letters_max)
    consumer = EventConsumer(stream, LiveFeatures(redis, time.time), log, dead_letters, faults=faults, metrics=metrics)
    windows = HotWindows(redis)
    withdrawals = withdrawal.assemble(settings, engine, redis, faults, metrics)

    async def refresh_windows() -> None:
        try:
            await windows.refresh()
        except LOST_ERRORS:
            # The consumer uses the same Redis and reports its outage.
            return

    loops = BackgroundLoops()
    report = HealthReport(log.answers, switch, stream, dead_letters, loops)
    loops.add("snapshot syncs", jobs.step)
    loops.add("live features", consumer.apply_new)
    loops.add("event log", consumer.log_applied)
    loops.add("hot windows", refresh_windows, interval=HOT_REFRESH_SECONDS)
    withdrawals.add_loops(loops)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(migrate, engine, SCHEMA, _MIGRATIONS)
        async with loops.running():
            yield
        await disconnect(redis)
        engine.dispose()

    app = base_app(
        "recsys-feature-sync",
        "feature-sync",
        lifespan=lifespan,
        description="Moves feature snapshots and live behaviour events into Redis, and events into PostgreSQL.",
    )
    app.include_router(endpoints.router(jobs, settings.admin_token))
    app.include_router(withdrawals.router)

    async def checks() -> dict[str, Check]:
        return await report.checks() | withdrawals.checks()

    app.include_router(operations.router(SERVICE, checks, metrics))
    return app

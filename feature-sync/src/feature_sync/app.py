"""The composition root of feature-sync."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from feature_sync.bounds import BoundWatch
from feature_sync.connections import RedisFaults, open_redis, unless_lost
from feature_sync.dead_letters import endpoints as dead_letter_endpoints
from feature_sync.events.assembly import EventConsumers
from feature_sync.events.dead_letters import DeadLetters
from feature_sync.events.exposures import exposures
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import EventLog
from feature_sync.events.partitions import LogRetention
from feature_sync.events.stream import Reading
from feature_sync.events.tables import SCHEMA, behavior_events
from feature_sync.forgetting.assembly import ForgettingAssembly
from feature_sync.health import CHECK_SECONDS, HealthReport, Measured
from feature_sync.hot.refresh import HotWindows
from feature_sync.memory.sampling import MemoryUsage
from feature_sync.metrics import Metrics
from feature_sync.outcomes.assembly import OutcomesAssembly
from feature_sync.outcomes.tables import outcome_hours
from feature_sync.outcomes.tables import outcomes as outcome_table
from feature_sync.served_features.assembly import ServedFeatureAssembly
from feature_sync.settings import Settings
from feature_sync.snapshots import endpoints
from feature_sync.snapshots.age import SnapshotAge
from feature_sync.snapshots.job_store import JobStore
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.retirement import Retirement
from feature_sync.snapshots.switch import SnapshotSwitch
from feature_sync.snapshots.verification import SnapshotVerification, VerificationService
from feature_sync.withdrawal import assembly as withdrawal
from servicekit import audit, operations
from servicekit.app import base_app
from servicekit.audit import AuditLog
from servicekit.background import BackgroundLoops
from servicekit.bearer import Access
from servicekit.database import migrate, open_database
from servicekit.database_calls import DatabaseCalls
from servicekit.health import Check
from servicekit.redis_urls import disconnect
from servicekit.token_list import add_token_list
from servicekit.tokens import KnownToken, Tokens

SERVICE = "feature-sync"
HOT_REFRESH_SECONDS = 0.5
RETIREMENT_SECONDS = 5.0
LOG_RETENTION_SECONDS = 3600.0
# A portion of the events without a partition is moved in one transaction.
LOG_RETENTION_CALL_SECONDS = 60.0
PROGRESS_SECONDS = 1.0
AGE_SECONDS = 5.0
MEMORY_SECONDS = 5.0
_MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(settings: Settings) -> FastAPI:
    """Build the worker and its HTTP side; nothing is opened before its lifespan starts."""
    url = settings.redis_url.get_secret_value()
    loops = BackgroundLoops()
    redis, faults, metrics = open_redis(url), RedisFaults(url, loops.stalls.recent), Metrics()
    tokens = Tokens(KnownToken.of_setting("ADMIN_TOKEN", settings.admin_token, "admin"))
    access = Access(tokens)
    database_url = settings.database_url.get_secret_value()
    engine, health_engine = open_database(database_url, SCHEMA), open_database(database_url, SCHEMA)
    audit_log = AuditLog(open_database(database_url, SCHEMA), SCHEMA, SERVICE)
    access.recorder = audit_log
    forgetting = ForgettingAssembly(
        settings, open_database(database_url, SCHEMA), redis, faults, metrics, access=access
    )
    switch = SnapshotSwitch(redis, marks=lambda: forgetting.marks.current)
    # The same name after a restart, so that entries taken before are continued at once.
    name = settings.consumer_name or f"{socket.gethostname()}-{settings.port}"
    job_store = JobStore(redis, name)
    jobs = SyncJobs(switch, job_store, faults, metrics)
    verification = VerificationService(SnapshotVerification(redis, lambda: forgetting.marks.current), job_store)
    dead_letters = DeadLetters(redis, settings.dead_letters_max)
    reading = Reading(name, settings.event_batch, takeover_seconds=settings.takeover_seconds)
    consumers = EventConsumers(
        redis,
        LiveFeatures(redis, time.time),
        open_database(database_url, SCHEMA),
        dead_letters,
        marks=forgetting.marks,
        reading=reading,
        max_lag_seconds=settings.stream_max_lag_seconds,
        faults=faults,
        metrics=metrics,
    )
    served = ServedFeatureAssembly(open_database(database_url, SCHEMA), redis, forgetting.marks, reading, metrics)
    windows = HotWindows(redis)
    withdrawals = withdrawal.assemble(settings, engine, redis, faults, metrics, access=access)
    retirement = Retirement(redis)

    age = SnapshotAge(
        redis, metrics, BoundWatch("pipeline.feature_store_stale", settings.snapshot_max_age_hours * 3600)
    )
    memory = MemoryUsage(redis, metrics, settings.stream_max_mb * 2**20)
    database = DatabaseCalls(health_engine, CHECK_SECONDS)
    outcomes = OutcomesAssembly(settings, open_database(database_url, SCHEMA), metrics, access)
    retention_engine = open_database(database_url, SCHEMA)
    retention_calls = DatabaseCalls(retention_engine, LOG_RETENTION_CALL_SECONDS)
    logs = [behavior_events, exposures, outcome_table, outcome_hours]
    retention = LogRetention(retention_engine, retention_calls, logs, settings.event_retention_days)
    report = HealthReport(
        partial(database.run, EventLog(health_engine).answers),
        switch,
        Measured(age, consumers.lag, memory),
        dead_letters,
        loops,
    )
    add_token_list(loops, tokens, settings.registry_url, settings.registry_read_token)
    loops.add("snapshot syncs", jobs.step)
    loops.add("sync progress", unless_lost(jobs.report), interval=PROGRESS_SECONDS)
    loops.add("snapshot retirement", unless_lost(retirement.remove_due), interval=RETIREMENT_SECONDS)
    loops.add("snapshot age", unless_lost(age.measure), interval=AGE_SECONDS)
    loops.add("memory", unless_lost(memory.measure), interval=MEMORY_SECONDS)
    consumers.add_loops(loops)
    served.add_loops(loops)
    loops.add("hot windows", unless_lost(windows.refresh), interval=HOT_REFRESH_SECONDS)
    loops.add("event log retention", retention.step, interval=LOG_RETENTION_SECONDS)
    withdrawals.add_loops(loops)
    forgetting.add_loops(loops)
    outcomes.add_loops(loops)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(migrate, engine, SCHEMA, _MIGRATIONS)
        # Before the first event is processed.
        await run_in_threadpool(forgetting.marks.load)
        async with loops.running():
            yield
        await disconnect(redis)
        consumers.close()
        served.close()
        forgetting.close()
        outcomes.close()
        await audit_log.close()
        database.close()
        retention_calls.close()
        engine.dispose()

    app = base_app(
        "recsys-feature-sync",
        "feature-sync",
        lifespan=lifespan,
        description="Moves feature snapshots and live behaviour events into Redis, and events into PostgreSQL.",
    )
    app.include_router(endpoints.router(jobs, verification, access))
    app.include_router(dead_letter_endpoints.router(dead_letters, access))
    app.include_router(withdrawals.router)
    app.include_router(forgetting.router)
    app.include_router(outcomes.router)
    app.include_router(audit.router(audit_log, access))

    async def checks() -> dict[str, Check]:
        return await report.checks() | withdrawals.checks() | forgetting.checks() | outcomes.checks()

    app.include_router(operations.router(SERVICE, checks, metrics))
    return app

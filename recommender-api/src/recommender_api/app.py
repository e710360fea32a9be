"""The composition root: builds every part of the service and connects them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from fastapi import FastAPI
from starlette.middleware import Middleware

from recommender_api import health
from recommender_api.answers.exploration import Exploration
from recommender_api.answers.fast_path_errors import FastPathErrors
from recommender_api.answers.main_path import RankedPath
from recommender_api.answers.query import Endpoint
from recommender_api.availability import AvailabilityWatch, ModelState
from recommender_api.events import EventIntake, Journal
from recommender_api.events import endpoints as events
from recommender_api.events.intake import REPLAY_INTERVAL_SECONDS
from recommender_api.fallback import FallbackChain
from recommender_api.features import SnapshotWatch
from recommender_api.metrics import SECONDS, Metrics
from recommender_api.models import endpoints as models_endpoints
from recommender_api.models.cache import BundleCache
from recommender_api.models.recent_traffic import RecentTraffic
from recommender_api.models.registry import ReplicaRegistry
from recommender_api.models.registry_poller import RegistryPoller
from recommender_api.models.serving import Models, Serving
from recommender_api.overload import Admission, Gate, Shedding
from recommender_api.recommendations import endpoints as recommendations
from recommender_api.recommendations.fast_path import FastPath
from recommender_api.recommendations.service import Recommender
from recommender_api.recommendations.write_behind import WriteBehind
from recommender_api.redis_store import Breaker, GuardedStore, open_store, report_recovery
from recommender_api.served_features import ServedFeatureLog, UserSample
from recommender_api.settings import Settings
from recommender_api.shadow import Mirror, ShadowMetrics
from recommender_api.shadow import endpoints as shadow_endpoints
from recommender_api.trending import TrendingPath
from recommender_api.withdrawal import WithdrawnFile, WithdrawnWatch
from servicekit import operations
from servicekit.app import base_app
from servicekit.background import BackgroundLoops
from servicekit.bearer import Access
from servicekit.token_list import add_token_list
from servicekit.tokens import KnownToken, Tokens

SNAPSHOT_POLL_SECONDS = 1.0
WITHDRAWN_POLL_SECONDS = 1.0
AVAILABILITY_POLL_SECONDS = 1.0

_DESCRIPTION = """Recommendations for a dataset marketplace. They stay available while parts of the stack fail.

Every answer names its source: `fallback_level` 0 is the main path, 1 the last good answer to the same query,
2 a precomputed list, 3 the popular list. Errors are `application/problem+json` (RFC 9457) with the request's id.

An id is a whole number or a text (UUIDs, `SKU-77`). A text id has its number beside it in answers, which is past 2^53:
JavaScript rounds such numbers, so take `external_id` there. The number of a user's text id is personal data as the text
is."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application; nothing is connected, read or started before its lifespan."""
    metrics = Metrics()
    redis = open_store(
        settings.redis_url, budget=settings.redis_budget_ms / 1000, stream_max_bytes=settings.stream_max_mb * 2**20
    )
    breaker = Breaker(redis.probe, on_close=report_recovery)
    store = GuardedStore(redis, breaker, redis.address)
    snapshots = SnapshotWatch(store.without_reporting())
    withdrawn = WithdrawnWatch(store.without_reporting(), WithdrawnFile(settings.model_cache_dir))

    http = httpx.AsyncClient()
    models = Models()
    registry = ReplicaRegistry(http, settings.registry_url, settings.registry_replica_token, settings.model_name)
    cache = BundleCache(settings.model_cache_dir)

    errors = FastPathErrors(metrics.fast_path_failed)
    # No caller waits for the shadow: its stages are measured, but not exported.
    mirrored = RankedPath(store.without_reporting(), snapshots, withdrawn, Metrics().stages, errors)
    mirror = Mirror(
        models,
        mirrored,
        ShadowMetrics(metrics.registry),
        sample_rate=settings.shadow_sample_rate,
        cpu_share=settings.shadow_cpu_share,
    )

    fallback = FallbackChain(store, withdrawn)

    def prepare(serving: Serving) -> None:
        for arm in serving.arms:
            fallback.prepare(arm)

    traffic = RecentTraffic(metrics.counts_of, SECONDS)

    def follow() -> None:
        if models.serving is not None:
            metrics.follow_arms(models.serving.arms)
            traffic.keep({arm.version for arm in models.serving.arms})
        mirror.follow()
        availability.review()

    poller = RegistryPoller(
        models,
        registry,
        cache,
        model_name=settings.model_name,
        replica_id=settings.replica_id,
        prepare=prepare,
        on_change=follow,
        traffic=traffic.of,
        interval=settings.model_poll_seconds,
    )

    def model_state() -> ModelState:
        return ModelState(
            is_serving=models.serving is not None,
            had_model=poller.had_model,
            registry_answered=poller.registry_answered,
            is_deployed=poller.is_deployed,
            registry_error=None if poller.registry_error is None else str(poller.registry_error),
            activation_error=None if poller.activation_error is None else str(poller.activation_error),
            activation_retried=poller.activation_retried,
        )

    availability = AvailabilityWatch(model_state, metrics.successes, time.monotonic)

    write_behind = WriteBehind(store, metrics, anonymous_share=settings.exposure_anonymous_share)
    exploration = Exploration(settings.exploration_share) if settings.exploration_share else None
    sample = UserSample(settings.skew_sample_share)
    ranked = RankedPath(store, snapshots, withdrawn, metrics.stages, errors, exploration=exploration, sample=sample)
    served_features = ServedFeatureLog(
        store.without_reporting(), lambda count: metrics.dropped("served_features", count)
    )
    recommender = Recommender(
        models,
        {
            Endpoint.SIMILAR: ranked,
            Endpoint.DETAIL: ranked,
            Endpoint.USER: ranked,
            Endpoint.TRENDING: TrendingPath(store, metrics.stages, withdrawn),
        },
        fallback,
        write_behind,
        mirror,
        served_features=served_features,
        withdrawn=withdrawn,
        metrics=metrics,
        budget_seconds=settings.request_budget_ms / 1000,
        why_no_model=availability.explain,
    )
    journal = Journal(settings.event_journal_dir, max_bytes=settings.event_journal_max_mb * 2**20)
    intake = EventIntake(store, store.without_reporting(), journal, metrics, knows_dataset=models.knows_dataset)

    questions = Admission(
        settings.queue_budget_ms / 1000,
        lambda delay, tick: asyncio.get_running_loop().call_later(delay, tick),
        time.perf_counter,
        time.thread_time,
    )

    metrics.gauge(
        "breaker_open", "1 while the circuit breaker is open and Redis is not called", lambda: float(breaker.is_open)
    )
    metrics.gauge("event_journal_bytes", "Events that wait for Redis", lambda: float(journal.waiting_bytes))
    metrics.gauge(
        "event_stream_full", "1 while events wait because the stream has its maximum size", lambda: intake.stream_full
    )
    metrics.gauge("requests_in_flight", "Requests in flight", lambda: float(questions.in_flight))
    metrics.gauge(
        "questions_limit",
        "Requests in flight above which new ones are rejected during an overload",
        lambda: float(questions.limit),
    )
    metrics.gauge(
        "withdrawn_datasets", "Withdrawn datasets, which no answer shows", lambda: float(len(withdrawn.current.ids))
    )
    metrics.gauge(
        "withdrawn_age_seconds", "Time since Redis last confirmed the list of withdrawn datasets", lambda: withdrawn.age
    )
    metrics.gauge("ready", "1 once a model is loaded", lambda: float(models.serving is not None))

    tokens = Tokens(
        KnownToken.of_setting("ADMIN_TOKEN", settings.admin_token, "admin"),
        KnownToken.of_setting("EVENTS_TOKEN", settings.events_token, "events"),
    )
    access = Access(tokens)
    loops = BackgroundLoops()
    add_token_list(loops, tokens, settings.registry_url, settings.registry_replica_token)
    loops.add("model poll", poller.follow)
    loops.add("availability", availability.poll, interval=AVAILABILITY_POLL_SECONDS)
    loops.add("snapshot poll", snapshots.poll, interval=SNAPSHOT_POLL_SECONDS)
    loops.add("withdrawn poll", withdrawn.poll, interval=WITHDRAWN_POLL_SECONDS)
    loops.add("event replay", intake.replay, interval=REPLAY_INTERVAL_SECONDS)
    loops.add("cache writes", write_behind.step)
    loops.add("served features", served_features.step)
    loops.add("shadow", mirror.step)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(redis.close)
            stack.push_async_callback(http.aclose)
            stack.push_async_callback(breaker.close)
            await asyncio.to_thread(journal.open)
            stack.callback(journal.close)
            stack.push_async_callback(write_behind.drain)
            # Before the first answer.
            await withdrawn.start()
            await poller.start()
            await snapshots.poll()
            await stack.enter_async_context(loops.running())
            yield

    app = base_app("recsys-recommender-api", "recommender-api", lifespan=lifespan, description=_DESCRIPTION)
    app.include_router(recommendations.router(recommender))
    gate = Gate(questions, metrics, availability)
    app.state.match_fast_route = FastPath(recommender, gate, errors)
    # Innermost: the request ids are already set.
    app.user_middleware.append(Middleware(Shedding, gate))
    app.include_router(events.router(intake, access))
    app.include_router(models_endpoints.router(models, poller, settings.model_name, access))
    app.include_router(
        shadow_endpoints.router(
            poller,
            mirror,
            model_name=settings.model_name,
            replica_id=settings.replica_id,
            sample_rate=settings.shadow_sample_rate,
        )
    )
    report = health.HealthReport(
        breaker=breaker,
        models=models,
        poller=poller,
        snapshots=snapshots,
        withdrawn=withdrawn,
        journal=journal,
        intake=intake,
        loops=loops,
    )
    app.include_router(operations.router(health.SERVICE, report.checks, metrics))
    app.include_router(health.router(models, availability))
    return app

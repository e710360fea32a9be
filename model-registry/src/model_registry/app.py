"""The composition root of model-registry."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from model_registry.access import RegistryAccess
from model_registry.artifacts import EVALUATION, ArtifactStore
from model_registry.bundle_checks.service import WORK, BundleChecks, default_slots
from model_registry.comparisons import endpoints as comparison_endpoints
from model_registry.comparisons.service import Comparisons
from model_registry.database import Database
from model_registry.deployments import convergence
from model_registry.deployments import endpoints as deployment_endpoints
from model_registry.deployments.active_watch import ActiveWatch
from model_registry.deployments.convergence import ConvergenceWatch
from model_registry.deployments.gate import Gate, GateRules
from model_registry.deployments.replicas import Replicas
from model_registry.deployments.service import Deployments
from model_registry.deployments.stored_bundles import StoredBundles
from model_registry.evaluations import endpoints as evaluation_endpoints
from model_registry.evaluations.sandbox_jobs import PartScoring
from model_registry.evaluations.service import Evaluations
from model_registry.metrics import Metrics
from model_registry.retention import endpoints as retention_endpoints
from model_registry.retention import service as retention_service
from model_registry.retention.rule import Limits
from model_registry.retention.service import Retention
from model_registry.rollouts import driver as rollout_driver
from model_registry.rollouts import endpoints as rollout_endpoints
from model_registry.rollouts.driver import RolloutDriver
from model_registry.rollouts.outcomes import FeatureSyncOutcomes
from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.service import Rollouts
from model_registry.sandbox.client import Sandbox
from model_registry.scratch import Scratch
from model_registry.settings import Settings
from model_registry.signatures import SignaturePolicy
from model_registry.store_watch import INTERVAL_SECONDS, StoreWatch
from model_registry.tables import SCHEMA
from model_registry.tokens import endpoints as token_endpoints
from model_registry.tokens import service as token_service
from model_registry.tokens.service import NamedTokens
from model_registry.versions import endpoints as version_endpoints
from model_registry.versions import facts, label_endpoints
from model_registry.versions.facts import MissingFacts
from model_registry.versions.label_service import Labels
from model_registry.versions.service import Versions
from model_registry.webhooks import endpoints as webhook_endpoints
from model_registry.webhooks import sender as webhook_sender
from model_registry.webhooks.outbox import Outbox
from model_registry.webhooks.sender import WebhookSender
from model_registry.webhooks.service import Webhooks
from servicekit import audit, operations
from servicekit.app import base_app
from servicekit.audit import AuditLog
from servicekit.background import BackgroundLoops
from servicekit.bodies import MIB
from servicekit.database import migrate, open_database
from servicekit.health import Check

SERVICE = "model-registry"
_log = logging.getLogger(__name__)
_MIGRATIONS = Path(__file__).parent / "migrations"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    settings: Settings, sandbox: Sandbox | None = None, *, now: Callable[[], datetime] = _utc_now
) -> FastAPI:
    """Build the service; nothing is opened before its lifespan starts. It has a sandbox of its own unless given one.

    The trusted keys are read at once; raises `UnusableKeyError`.
    """
    signatures = SignaturePolicy.from_settings(settings)
    database_url = settings.database_url.get_secret_value()
    engine = open_database(database_url, SCHEMA)
    database = Database(engine)
    store = ArtifactStore(settings.artifact_url)
    metrics = Metrics()
    outbox = Outbox(metrics)
    post, close_webhooks = webhook_sender.poster(allows_private=settings.webhook_allow_private)
    sender = WebhookSender(database, metrics, post)
    max_bundle_bytes = settings.max_bundle_mb * MIB
    is_own_sandbox = sandbox is None
    sandbox = sandbox or Sandbox(WORK)
    scratch = Scratch()
    slots = default_slots()
    checks = BundleChecks(database, sandbox, slots)
    parts = ArtifactStore(settings.artifact_url, EVALUATION)
    evaluations = Evaluations(database, parts, PartScoring(sandbox, slots), scratch)
    store_watch = StoreWatch(store)
    limits = Limits(
        settings.bundle_retention_trained, settings.bundle_retention_refreshes, settings.bundle_retention_days
    )
    retention = Retention(
        database,
        store,
        limits,
        is_daily=settings.bundle_retention_daily,
        remove_parts=evaluations.remove_unused,
    )

    def wake_waiters() -> None:
        watch.notify()

    rules = GateRules(
        metric=settings.model_gate_metric,
        tolerance=settings.model_gate_tolerance,
        paired_tolerance=settings.model_gate_paired_tolerance,
        min_queries=settings.model_gate_min_queries,
        best_of=settings.model_gate_best_of,
    )
    gate = Gate(rules, database, evaluations)
    bundles = StoredBundles(store, checks, scratch)
    deployments = Deployments(
        database, store, bundles, gate, metrics, outbox=outbox, signatures=signatures, on_change=wake_waiters
    )
    watch = ActiveWatch(
        lambda model: deployment_endpoints.active_document(deployments, model),
        is_stopping=lambda: bool(getattr(app.state, "is_stopping", lambda: False)()),
    )
    metrics.waiting.set_function(lambda: watch.waiting)
    replicas = Replicas(database)
    labels = Labels(database, outbox)
    converging = ConvergenceWatch(database, replicas, settings.convergence_deadline_seconds)
    outcomes = (
        FeatureSyncOutcomes(settings.feature_sync_url, settings.admin_token) if settings.feature_sync_url else None
    )
    rollout_rules = _rollout_rules(settings)
    rollouts = Rollouts(database, deployments, is_measured=outcomes is not None, now=now)
    driver = RolloutDriver(database, rollouts, replicas, outcomes, rules=rollout_rules, now=now)
    access = RegistryAccess(settings)
    audit_log = AuditLog(open_database(database_url, SCHEMA), SCHEMA, SERVICE)
    access.recorder = audit_log
    named_tokens = NamedTokens(database, access.tokens)
    loops = BackgroundLoops()
    loops.add("named tokens", named_tokens.step, interval=token_service.INTERVAL_SECONDS)
    loops.add("active deployments", watch.step)
    loops.add("webhooks", sender.step, interval=webhook_sender.INTERVAL_SECONDS)
    loops.add("convergence", converging.step, interval=convergence.INTERVAL_SECONDS)
    loops.add("rollouts", driver.step, interval=rollout_driver.INTERVAL_SECONDS)
    loops.add("search facts", MissingFacts(database).step, interval=facts.INTERVAL_SECONDS)
    loops.add("artifact store", store_watch.step, interval=INTERVAL_SECONDS)
    loops.add(
        "retention",
        retention.step,
        interval=retention_service.INTERVAL_SECONDS,
        max_backoff=retention_service.MAX_BACKOFF_SECONDS,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if is_own_sandbox:
            sandbox.start()
        await run_in_threadpool(migrate, engine, SCHEMA, _MIGRATIONS)
        await run_in_threadpool(_collect, scratch, store)
        await run_in_threadpool(named_tokens.load)
        async with loops.running():
            yield
        await sender.close()
        await close_webhooks()
        if is_own_sandbox:
            await run_in_threadpool(sandbox.close)
        if outcomes is not None:
            await run_in_threadpool(outcomes.close)
        scratch.close()
        await audit_log.close()
        database.close()

    app = base_app(
        "recsys-model-registry",
        "model-registry",
        lifespan=lifespan,
        description="Model versions, bundles, deployments and rollback. A token's role says what it may call.",
    )
    app.include_router(
        version_endpoints.router(
            Versions(database, store, checks, scratch, max_bundle_bytes, outbox=outbox, signatures=signatures),
            labels,
            metrics,
            access,
            max_bundle_bytes,
        )
    )
    app.include_router(label_endpoints.router(labels, access))
    comparisons = Comparisons(database, evaluations, settings.model_gate_paired_tolerance)
    app.include_router(comparison_endpoints.router(comparisons, access))
    app.include_router(evaluation_endpoints.router(evaluations, access))
    app.include_router(deployment_endpoints.router(deployments, replicas, watch, access))
    app.include_router(rollout_endpoints.router(rollouts, rollout_rules, access))
    app.include_router(retention_endpoints.router(retention, access))
    app.include_router(audit.router(audit_log, access))
    webhooks = Webhooks(database, allows_http=settings.webhook_allow_http)
    app.include_router(webhook_endpoints.router(webhooks, access))
    app.include_router(token_endpoints.router(named_tokens, access))

    async def health_checks() -> dict[str, Check]:
        well = await run_in_threadpool(database.answers)
        return {
            "database": Check(
                status="healthy" if well else "unhealthy", detail="" if well else "the database doesn't answer"
            ),
            "artifact_store": store_watch.check(),
            "convergence": converging.check(),
            "background": loops.check(),
        }

    app.include_router(operations.router(SERVICE, health_checks, metrics))
    return app


def _rollout_rules(settings: Settings) -> RolloutRules:
    return RolloutRules(
        alpha=settings.model_rollout_alpha,
        tolerance=settings.model_rollout_tolerance,
        design_effect=settings.model_rollout_design_effect,
        min_exposures=settings.model_rollout_min_exposures,
        burn_in=timedelta(seconds=settings.model_rollout_burn_in_seconds),
        max_age=timedelta(seconds=settings.model_rollout_max_age_seconds),
        max_wait=timedelta(hours=settings.model_rollout_max_wait_hours),
        max_error_increase=settings.model_rollout_max_error_increase,
        max_fallback_increase=settings.model_rollout_max_fallback_increase,
        max_p99_ratio=settings.model_rollout_max_p99_ratio,
    )


def _collect(scratch: Scratch, store: ArtifactStore) -> None:
    """Remove what killed processes left."""
    removed = scratch.collect()
    try:
        removed += store.collect()
    except OSError as error:
        _log.warning("the artifact store can't be searched for unfinished uploads: %s", error)
    if removed:
        _log.info("removed %d leftovers of processes that were killed", removed)

"""Deploy and roll back: checks first, then activation in one transaction; a failure changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

import monitoring
from contracts.bundle import BundleManifest
from contracts.deployments import DeploymentMode, DeploymentRequest, DeploymentStage
from contracts.webhooks import WebhookEvent
from model_registry.artifacts import ArtifactStore
from model_registry.database import Database, lock_model
from model_registry.deployments import queries
from model_registry.deployments.conditions import (
    check_beside,
    check_expected,
    check_refresh,
    is_gated,
    is_repeat,
    is_repeated_rollback,
    share_of,
)
from model_registry.deployments.gate import Gate
from model_registry.deployments.stored_bundles import StoredBundles
from model_registry.errors import (
    DeploymentRefusedError,
    NotFoundError,
    NothingToRollBackError,
    OvertakenError,
    UnavailableError,
    UnsignedVersionError,
)
from model_registry.metrics import Metrics
from model_registry.paging import Page, cut_page
from model_registry.signatures import NOTHING_REQUIRED, SignaturePolicy
from model_registry.versions import queries as version_queries
from model_registry.webhooks.outbox import Outbox

# What else is written in the transaction that changes what is in service; what it raises undoes the change.
Within = Callable[[Connection, Row[Any]], None]
# How often a version is compared because another one was deployed meanwhile; each time, that other one has succeeded.
MAX_COMPARISONS = 50


@dataclass(frozen=True)
class Author:
    """The author of a deployment and the reason, for the history."""

    name: str | None
    reason: str | None


@dataclass(frozen=True)
class _Step:
    """A deployment that is being made; `restores` is the deployment that a rollback restores."""

    model: str
    wanted: DeploymentRequest
    author: Author
    manifest: BundleManifest
    restores: int | None
    within: Within | None


@dataclass(frozen=True)
class _Passed:
    """What the gate has found, beside which trained version; None for both while nothing is deployed."""

    trained: int | None
    note: str | None


class _ComparedWithAnotherError(Exception):
    """Another version is in service than the one that was compared with: compare again."""


class Deployments:
    """The deployments of all models."""

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        bundles: StoredBundles,
        gate: Gate,
        metrics: Metrics,
        *,
        outbox: Outbox,
        signatures: SignaturePolicy = NOTHING_REQUIRED,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._signatures = signatures
        self._database = database
        self._store = store
        self._bundles = bundles
        self._gate = gate
        self._metrics = metrics
        self._on_change = on_change

    def deploy(
        self, model: str, wanted: DeploymentRequest, author: Author, *, within: Within | None = None
    ) -> Row[Any]:
        """Deploy a version; the previous version stays active if it raises.

        With `expected_active`, a repeat of the call that made the active deployment returns that deployment. Raises
        `DeploymentRefusedError`, `OvertakenError`, `RemovedVersionError` and `UnsignedVersionError`.
        """
        return self._deploy(model, wanted, author, within=within)

    def roll_back(self, model: str, author: Author, expected_active: str | None = None) -> Row[Any]:
        """Deploy the previous trained model again; raises `NothingToRollBackError` and `OvertakenError`.

        With `expected_active`, a repeat of the call that made the active deployment returns that deployment.
        """
        with self._database.transaction("find_previous") as connection:
            current = queries.active(connection, model, "primary")
            if current is None:
                raise NotFoundError(f"no version of {model!r} is in service")
            if is_repeated_rollback(expected_active, current, is_rollback=queries.is_rollback(connection, current)):
                return current
            check_expected(expected_active, current)
            previous = queries.before(connection, current)
        if previous is None:
            raise NothingToRollBackError(f"{model} {current.version} is the only version that was ever in service")
        # The checks take a while; the version that is rolled back must still be in service after them.
        wanted = DeploymentRequest(version=str(previous.version), expected_active=str(current.version))
        return self._deploy(model, wanted, author, restores=previous.id)

    def withdraw(
        self,
        model: str,
        mode: DeploymentMode,
        author: Author,
        expected_active: str | None = None,
        *,
        within: Within | None = None,
    ) -> Row[Any]:
        """Take the canary or shadow out of service and return its deployment.

        Raises `NothingToRollBackError` and `OvertakenError`.
        """
        with self._database.transaction("withdraw") as connection:
            lock_model(connection, model)
            check_expected(expected_active, queries.active(connection, model, "primary"))
            current = queries.active(connection, model, mode)
            if current is None:
                raise NothingToRollBackError(f"no {mode} of {model!r} is in service")
            detail = " ".join(("rolled back", *((f"by {author.name}",) if author.name else ())))
            detail += f": {author.reason}" if author.reason else ""
            queries.end_active(connection, model, mode, "rolled_back", detail=detail)
            ended = queries.get(connection, current.id)
            if within is not None:
                within(connection, ended)
            self._record_event(connection, WebhookEvent.ROLLED_BACK, ended)
        self._on_change()
        self._metrics.deployments.labels(model, mode, "rolled_back").inc()
        return ended

    def active(self, model: str) -> dict[str, Row[Any]]:
        """Return the active deployments by mode; raises `NotFoundError` while nothing is in service."""
        with self._database.transaction("get_active") as connection:
            found = queries.all_active(connection, model)
        if "primary" not in found:
            raise NotFoundError(f"no version of {model!r} is in service")
        return found

    def history(self, model: str, page: Page) -> tuple[list[Row[Any]], str | None]:
        """Return a page of the deployments, newest first, and what begins the next one."""
        with self._database.transaction("list_deployments") as connection:
            return cut_page(queries.history(connection, model, page), page, "id")

    def _deploy(
        self,
        model: str,
        wanted: DeploymentRequest,
        author: Author,
        restores: int | None = None,
        *,
        within: Within | None = None,
    ) -> Row[Any]:
        with self._database.transaction("get_version") as connection:
            version = version_queries.get_present(connection, model, wanted.version)
        # An alias may move meanwhile: what it points to now is deployed.
        wanted = wanted.model_copy(update={"version": str(version.version)})
        try:
            self._signatures.check_deployable(version)
        except UnsignedVersionError as error:
            self._record_rejection(model, wanted, author, DeploymentStage.SIGNATURE, error)
            raise
        source = self._store.address(model, version.sha256)
        crumb = {"model_name": model, "model_version": wanted.version, "mode": wanted.mode}
        monitoring.breadcrumb("deployment started", category="model", **crumb)
        try:
            with monitoring.span("deploy", f"{model} {wanted.version}"):
                # Outside of a transaction, so that readers and other models don't wait for it.
                manifest = self._bundles.check(model, version.sha256)
                deployed, is_new = self._compare_and_activate(_Step(model, wanted, author, manifest, restores, within))
        except (DeploymentRefusedError, UnavailableError) as error:
            self._record_failure(model, wanted, author, source, error)
            raise
        if not is_new:
            return deployed
        self._on_change()
        self._metrics.deployments.labels(model, wanted.mode, "active").inc()
        monitoring.breadcrumb("deployment completed", category="model", **crumb)
        with monitoring.bound_context(deployment_id=deployed.id):
            for point in ("model.deployment_failed", "model.source_not_found"):
                monitoring.recovered(point, model_name=model, model_version=wanted.version)
        return deployed

    def _compare_and_activate(self, step: _Step) -> tuple[Row[Any], bool]:
        """Return the deployment, and whether it is a new one."""
        for _ in range(MAX_COMPARISONS):
            # Scoring takes seconds, and a transaction would hold up other deployments and the reports of replicas.
            passed = self._pass_gate(step)
            try:
                return self._activate(step, passed)
            except _ComparedWithAnotherError:
                continue
        raise OvertakenError("other versions were deployed while this one was compared with them; try again")

    def _pass_gate(self, step: _Step) -> _Passed:
        wanted = step.wanted
        with self._database.transaction("find_active") as connection:
            current = queries.active(connection, step.model, "primary")
            if current is None:
                return _Passed(None, None)
            # Whether it is a repeat or was overtaken is found out in the transaction that deploys.
            is_expected = wanted.expected_active in (None, str(current.version))
            if not is_expected or not is_gated(wanted, step.manifest, step.restores, current):
                return _Passed(current.trained, "forced: not compared" if wanted.force else None)
            candidate = version_queries.get(connection, step.model, wanted.version)
            trained = version_queries.get(connection, step.model, str(current.trained))
        return _Passed(current.trained, self._gate.check(step.model, candidate, trained))

    def _activate(self, step: _Step, passed: _Passed) -> tuple[Row[Any], bool]:
        with self._database.transaction("activate") as connection:
            lock_model(connection, step.model)
            deployed, is_new = self._activate_locked(connection, step, passed)
            if step.within is not None:
                step.within(connection, deployed)
            if is_new:
                event = WebhookEvent.DEPLOYED if step.restores is None else WebhookEvent.ROLLED_BACK
                self._record_event(connection, event, deployed)
            return deployed, is_new

    @staticmethod
    def _activate_locked(connection: Connection, step: _Step, passed: _Passed) -> tuple[Row[Any], bool]:
        model, wanted, restores = step.model, step.wanted, step.restores
        # Retention may have removed it while it was checked.
        version_queries.get_present(connection, model, wanted.version)
        current = queries.active(connection, model, "primary")
        previous = current if wanted.mode == "primary" else queries.active(connection, model, wanted.mode)
        if restores is None and previous is not None and is_repeat(wanted, previous, current):
            return previous, False
        check_expected(wanted.expected_active, current)
        check_beside(wanted, current)
        restored = restores
        # A rollback may restore a refresh, and then its model is not in service yet.
        if step.manifest.refreshes is not None and restores is None:
            refreshed = version_queries.get(connection, model, step.manifest.refreshes)
            check_refresh(wanted, step.manifest, refreshed, current)
            # After a rollback, the next one goes on from there, also after refreshes.
            restored = None if current is None else current.restores
        if is_gated(wanted, step.manifest, restores, current) and _trained(current) != passed.trained:
            raise _ComparedWithAnotherError
        queries.end_active(connection, model, wanted.mode, "replaced" if restores is None else "rolled_back")
        if wanted.mode == "primary":
            # Beside itself as primary, a canary or shadow has nothing to compare.
            for mode in ("canary", "shadow"):
                queries.end_active(connection, model, mode, "replaced", version=int(wanted.version))
        deployed = _record(
            connection,
            model,
            wanted,
            step.author,
            state="active",
            previous=previous,
            restores=restored,
            detail=passed.note,
        )
        return deployed, True

    def _record_failure(
        self, model: str, wanted: DeploymentRequest, author: Author, source: str, error: Exception
    ) -> None:
        """Report and record a failure; a missing source has its own monitoring point, and only that one is reported."""
        stage = error.stage if isinstance(error, DeploymentRefusedError) else DeploymentStage.ACTIVATE
        point = "model.source_not_found" if stage is DeploymentStage.SOURCE else "model.deployment_failed"
        monitoring.report(
            point,
            error=error,
            model_name=model,
            model_version=wanted.version,
            source=source,
            target=f"{model}/{wanted.mode}",
            stage=stage,
        )
        if isinstance(error, UnavailableError):
            self._metrics.deployments.labels(model, wanted.mode, stage).inc()
            return
        self._record_rejection(model, wanted, author, stage, error)

    def _record_rejection(
        self, model: str, wanted: DeploymentRequest, author: Author, stage: DeploymentStage, error: Exception
    ) -> None:
        """Count a rejection, and add it to the history and the outbox."""
        self._metrics.deployments.labels(model, wanted.mode, stage).inc()
        with self._database.transaction("record_failure") as connection:
            previous = queries.active(connection, model, wanted.mode)
            failed = _record(
                connection, model, wanted, author, state="failed", previous=previous, stage=stage, detail=str(error)
            )
            self._record_event(connection, WebhookEvent.REJECTED, failed)

    def _record_event(self, connection: Connection, event: WebhookEvent, deployment: Row[Any]) -> None:
        previous = deployment.previous_version
        self._outbox.record(
            connection,
            event,
            deployment.model,
            deployment_id=str(deployment.id),
            version=str(deployment.version),
            mode=deployment.mode,
            rollout=deployment.rollout,
            previous_version=None if previous is None else str(previous),
            failed_stage=deployment.failed_stage,
            detail=deployment.detail,
            reason=deployment.reason,
            by=deployment.deployed_by,
        )


def _trained(primary: Row[Any] | None) -> int | None:
    return None if primary is None else primary.trained


def _record(
    connection: Connection,
    model: str,
    wanted: DeploymentRequest,
    author: Author,
    *,
    state: str,
    previous: Row[Any] | None,
    restores: int | None = None,
    stage: DeploymentStage | None = None,
    detail: str | None = None,
) -> Row[Any]:
    return queries.record(
        connection,
        model=model,
        version=int(wanted.version),
        mode=wanted.mode,
        rollout=share_of(wanted),
        state=state,
        restores=restores,
        failed_stage=stage,
        detail=detail,
        reason=author.reason,
        deployed_by=author.name,
        previous_version=None if previous is None else previous.version,
    )

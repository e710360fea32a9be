"""Deploy and roll back: checks first, then activation in one transaction; a failure changes nothing."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

import monitoring
from contracts.bundle import BundleManifest
from contracts.deployments import DeploymentMode, DeploymentRequest, DeploymentStage
from model_registry.artifacts import ArtifactStore
from model_registry.database import Database, lock_model
from model_registry.deployments import queries
from model_registry.deployments.checks import Gate, check_bundle
from model_registry.deployments.conditions import check_expected, check_refresh
from model_registry.errors import DeploymentRefusedError, NotFoundError, NothingToRollBackError, UnavailableError
from model_registry.metrics import Metrics
from model_registry.versions import queries as version_queries


@dataclass(frozen=True)
class Author:
    """The author of a deployment and the reason, for the history."""

    name: str | None
    reason: str | None


class Deployments:
    """The deployments of all models."""

    def __init__(self, database: Database, store: ArtifactStore, gate: Gate, metrics: Metrics) -> None:
        self._database = database
        self._store = store
        self._gate = gate
        self._metrics = metrics

    def deploy(self, model: str, wanted: DeploymentRequest, author: Author) -> Row[Any]:
        """Deploy a version; raises `DeploymentRefusedError` and `OvertakenError`: the previous version stays active."""
        return self._deploy(model, wanted, author)

    def roll_back(self, model: str, author: Author, expected_active: str | None = None) -> Row[Any]:
        """Deploy the previous trained model again; raises `NothingToRollBackError` and `OvertakenError`."""
        with self._database.transaction("find_previous") as connection:
            current = queries.active(connection, model, "primary")
            if current is None:
                raise NotFoundError(f"no version of {model!r} is in service")
            check_expected(expected_active, current)
            previous = queries.before(connection, current)
        if previous is None:
            raise NothingToRollBackError(f"{model} {current.version} is the only version that was ever in service")
        # The checks take a while; the version that is rolled back must still be in service after them.
        wanted = DeploymentRequest(version=str(previous.version), force=True, expected_active=str(current.version))
        return self._deploy(model, wanted, author, restores=previous.id)

    def withdraw(
        self, model: str, mode: DeploymentMode, author: Author, expected_active: str | None = None
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
        self._metrics.deployments.labels(model, mode, "rolled_back").inc()
        return ended

    def active(self, model: str) -> dict[str, Row[Any] | None]:
        """Return the active deployment of every mode; raises `NotFoundError` while nothing is in service."""
        with self._database.transaction("get_active") as connection:
            found = {mode: queries.active(connection, model, mode) for mode in ("primary", "canary", "shadow")}
        if found["primary"] is None:
            raise NotFoundError(f"no version of {model!r} is in service")
        return found

    def history(self, model: str) -> list[Row[Any]]:
        """Return the latest deployments, newest first."""
        with self._database.transaction("list_deployments") as connection:
            return list(queries.history(connection, model))

    def _deploy(self, model: str, wanted: DeploymentRequest, author: Author, restores: int | None = None) -> Row[Any]:
        with self._database.transaction("get_version") as connection:
            version = version_queries.get(connection, model, wanted.version)
        source = self._store.address(model, version.sha256)
        crumb = {"model_name": model, "model_version": wanted.version, "mode": wanted.mode}
        monitoring.breadcrumb("deployment started", category="model", **crumb)
        try:
            with monitoring.span("deploy", f"{model} {wanted.version}"):
                # Outside of a transaction, so that readers and other models don't wait for it.
                manifest = check_bundle(self._store, model, version.sha256)
                deployed = self._activate(model, wanted, author, manifest, restores)
        except (DeploymentRefusedError, UnavailableError) as error:
            self._record_failure(model, wanted, author, source, error)
            raise
        self._metrics.deployments.labels(model, wanted.mode, "active").inc()
        monitoring.breadcrumb("deployment completed", category="model", **crumb)
        with monitoring.bound_context(deployment_id=deployed.id):
            for point in ("model.deployment_failed", "model.source_not_found"):
                monitoring.recovered(point, model_name=model, model_version=wanted.version)
        return deployed

    def _activate(
        self, model: str, wanted: DeploymentRequest, author: Author, manifest: BundleManifest, restores: int | None
    ) -> Row[Any]:
        with self._database.transaction("activate") as connection:
            lock_model(connection, model)
            current = queries.active(connection, model, "primary")
            check_expected(wanted.expected_active, current)
            if wanted.mode != "primary" and current is None:
                detail = f"a {wanted.mode} needs a primary version beside it"
                raise DeploymentRefusedError(DeploymentStage.ACTIVATE, detail, status=409)
            note = None
            restored = restores
            if manifest.refreshes is not None:
                # A rollback may restore a refresh, and then its model is not in service yet.
                if restores is None:
                    check_refresh(wanted, manifest, current)
                    # After a rollback, the next one goes on from there, also after refreshes.
                    restored = None if current is None else current.restores
            elif current is not None and not wanted.force:
                trained = version_queries.get(connection, model, str(current.trained))
                note = self._gate.check(manifest, BundleManifest.model_validate(trained.manifest))
            previous = current if wanted.mode == "primary" else queries.active(connection, model, wanted.mode)
            queries.end_active(connection, model, wanted.mode, "replaced" if restores is None else "rolled_back")
            if wanted.mode == "primary":
                # Beside itself as primary, a canary or shadow has nothing to compare.
                for mode in ("canary", "shadow"):
                    queries.end_active(connection, model, mode, "replaced", version=int(wanted.version))
            return _record(
                connection, model, wanted, author, state="active", previous=previous, restores=restored, detail=note
            )

    def _record_failure(
        self, model: str, wanted: DeploymentRequest, author: Author, source: str, error: Exception
    ) -> None:
        """Report and record a failure; a missing source has its own monitoring point, and only that one is reported."""
        stage = error.stage if isinstance(error, DeploymentRefusedError) else DeploymentStage.ACTIVATE
        point = "model.source_not_found" if stage is DeploymentStage.SOURCE else "model.deployment_failed"
        self._metrics.deployments.labels(model, wanted.mode, stage).inc()
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
            return
        with self._database.transaction("record_failure") as connection:
            previous = queries.active(connection, model, wanted.mode)
            _record(
                connection, model, wanted, author, state="failed", previous=previous, stage=stage, detail=str(error)
            )


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
        rollout=wanted.rollout,
        state=state,
        restores=restores,
        failed_stage=stage,
        detail=detail,
        reason=author.reason,
        deployed_by=author.name,
        previous_version=None if previous is None else previous.version,
    )

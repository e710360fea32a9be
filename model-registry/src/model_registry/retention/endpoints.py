"""HTTP API of the retention."""

from typing import Any

from sqlalchemy import Row

from contracts.retention import RemovedVersion, RetainedVersion, RetentionReport, RetentionRequest
from model_registry.access import RegistryAccess
from model_registry.retention.service import Retention
from model_registry.versions.endpoints import ModelName
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter


def router(retention: Retention, access: RegistryAccess) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["retention"])

    @made.post(
        "/models/{name}/retention",
        responses=problem_responses(503, not_found="There is no such model"),
        dependencies=access.allow("admin"),
    )
    def apply_retention(name: ModelName, wanted: RetentionRequest | None = None) -> RetentionReport:
        """Remove the bundles of versions that nothing keeps; unless `dry_run` is false, only answer which ones."""
        is_dry_run = wanted is None or wanted.dry_run
        plan, files_left = (retention.plan(name), 0) if is_dry_run else retention.apply(name)
        return RetentionReport(
            name=name,
            dry_run=is_dry_run,
            removed=[_removed(row) for row in plan.removed],
            kept=[
                RetainedVersion(version=str(row.version), refreshes=_refreshes(row), reasons=list(reasons))
                for row, reasons in plan.kept
            ],
            bytes_removed=sum(row.size for row in plan.removed),
            files_left=files_left,
        )

    return made


def _removed(row: Row[Any]) -> RemovedVersion:
    return RemovedVersion(
        version=str(row.version),
        refreshes=_refreshes(row),
        sha256=row.sha256,
        size=row.size,
        created_at=row.created_at,
    )


def _refreshes(row: Row[Any]) -> str | None:
    return None if row.refreshes is None else str(row.refreshes)

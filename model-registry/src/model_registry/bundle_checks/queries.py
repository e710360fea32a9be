"""Reads and writes of the table `checks`."""

from datetime import UTC, datetime

from sqlalchemy import Connection, select

from contracts.bundle import BundleManifest
from contracts.deployments import DeploymentStage
from model_registry.bundle_checks.report import CheckReport, Refusal
from model_registry.database import insert_if_absent
from model_registry.tables import checks


def find(connection: Connection, sha256: str, code_version: str) -> CheckReport | None:
    """Return what this code has found in a bundle, None if it has not checked it."""
    known = select(checks).where(checks.c.sha256 == sha256, checks.c.code_version == code_version)
    row = connection.execute(known).first()
    if row is None:
        return None
    refusal = None if row.stage is None else Refusal(DeploymentStage(row.stage), row.detail)
    return CheckReport(BundleManifest.model_validate(row.manifest), refusal)


def add(connection: Connection, sha256: str, code_version: str, report: CheckReport) -> None:
    """Remember a final report; a second one of the same check changes nothing."""
    if report.manifest is None or not report.is_final:
        return
    insert_if_absent(
        connection,
        checks,
        sha256=sha256,
        code_version=code_version,
        manifest=report.manifest.model_dump(mode="json"),
        stage=None if report.refusal is None else report.refusal.stage,
        detail=None if report.refusal is None else report.refusal.detail,
        checked_at=datetime.now(UTC),
    )

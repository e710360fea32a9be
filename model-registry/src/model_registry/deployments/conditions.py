"""What must be in service for a change, compared in the transaction that makes it."""

from typing import Any

from sqlalchemy import Row

from contracts.bundle import BundleManifest
from contracts.deployments import DeploymentRequest, DeploymentStage
from model_registry.errors import DeploymentRefusedError, OvertakenError

_CONFLICT = 409


def check_expected(expected_active: str | None, primary: Row[Any] | None) -> None:
    """Raise `OvertakenError` if another version than the expected one is in service as primary."""
    active = None if primary is None else str(primary.version)
    if expected_active not in (None, active):
        raise OvertakenError(f"expected_active is {expected_active}, in service is {active or 'nothing'}")


def check_refresh(wanted: DeploymentRequest, manifest: BundleManifest, primary: Row[Any] | None) -> None:
    """Check a refresh: its model is in service, and its data passed; nothing was trained, so no metric is compared.

    Raises `OvertakenError` and `DeploymentRefusedError`.
    """
    if wanted.mode != "primary":
        detail = f"a refresh is deployed as primary, not as {wanted.mode}"
        raise DeploymentRefusedError(DeploymentStage.ACTIVATE, detail, status=_CONFLICT)
    trained = None if primary is None else str(primary.trained)
    if trained != manifest.refreshes:
        in_service = "nothing is in service" if trained is None else f"the model in service is version {trained}"
        raise OvertakenError(f"this bundle refreshes version {manifest.refreshes}, but {in_service}")
    critical = [check.check for check in manifest.data_checks if check.severity == "critical"]
    if critical and not wanted.force:
        detail = f"critical data checks: {', '.join(critical)}; `force` deploys it anyway"
        raise DeploymentRefusedError(DeploymentStage.GATE, detail, status=_CONFLICT)

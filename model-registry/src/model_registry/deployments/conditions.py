"""What must be in service for a change, compared in the transaction that makes it."""

from typing import Any

from sqlalchemy import Row

from contracts.bundle import AnotherRankerError, BundleManifest, check_same_ranker
from contracts.deployments import DeploymentRequest, DeploymentStage
from model_registry.errors import DeploymentRefusedError, OvertakenError

_CONFLICT = 409


def share_of(wanted: DeploymentRequest) -> float:
    """Return the share of the users that a deployment serves."""
    return 1.0 if wanted.rollout is None else wanted.rollout


def is_gated(
    wanted: DeploymentRequest, manifest: BundleManifest, restores: int | None, primary: Row[Any] | None
) -> bool:
    """Return whether a version has to pass the gate.

    The first deployment has nothing to be compared with, a refresh and a rollback bring a model that has passed, and a
    shadow is there to be compared.
    """
    if primary is None or restores is not None or manifest.refreshes is not None:
        return False
    return wanted.mode != "shadow" and not wanted.force and str(primary.trained) != wanted.version


def check_beside(wanted: DeploymentRequest, primary: Row[Any] | None) -> None:
    """Check what a canary or shadow stands beside; raises `DeploymentRefusedError`."""
    if wanted.mode == "primary":
        return
    detail = None
    if primary is None:
        detail = f"a {wanted.mode} needs a primary version beside it"
    elif str(primary.version) == wanted.version:
        detail = f"version {wanted.version} is in service as primary, and can't be its own {wanted.mode}"
    if detail is not None:
        raise DeploymentRefusedError(DeploymentStage.ACTIVATE, detail, status=_CONFLICT)


def check_expected(expected_active: str | None, primary: Row[Any] | None) -> None:
    """Raise `OvertakenError` if another version than the expected one is in service as primary."""
    active = None if primary is None else str(primary.version)
    if expected_active not in (None, active):
        raise OvertakenError(f"expected_active is {expected_active}, in service is {active or 'nothing'}")


def is_repeat(wanted: DeploymentRequest, served: Row[Any], primary: Row[Any] | None) -> bool:
    """Return whether `served`, the active deployment of the mode, was made by an earlier try of this call.

    The caller may have lost its answer. Only a call with `expected_active` says from where its step begins.
    """
    if wanted.expected_active is None or str(served.version) != wanted.version:
        return False
    if wanted.mode == "primary":
        return str(served.previous_version) == wanted.expected_active
    return primary is not None and str(primary.version) == wanted.expected_active and served.rollout == share_of(wanted)


def is_repeated_rollback(expected_active: str | None, current: Row[Any], *, is_rollback: bool) -> bool:
    """Return whether `current`, in service now, is what an earlier try of this rollback has restored."""
    return is_rollback and expected_active is not None and str(current.previous_version) == expected_active


def check_refresh(
    wanted: DeploymentRequest, manifest: BundleManifest, refreshed: Row[Any], primary: Row[Any] | None
) -> None:
    """Check a refresh: its model is in service, and its data passed; nothing was trained, so no metric is compared.

    `refreshed` is the version that it refreshes: an earlier release took in refreshes with any ranker. Raises
    `OvertakenError` and `DeploymentRefusedError`.
    """
    if wanted.mode != "primary":
        detail = f"a refresh is deployed as primary, not as {wanted.mode}"
        raise DeploymentRefusedError(DeploymentStage.ACTIVATE, detail, status=_CONFLICT)
    trained = None if primary is None else str(primary.trained)
    if trained != manifest.refreshes:
        in_service = "nothing is in service" if trained is None else f"the model in service is version {trained}"
        raise OvertakenError(f"this bundle refreshes version {manifest.refreshes}, but {in_service}")
    try:
        check_same_ranker(manifest, BundleManifest.model_validate(refreshed.manifest))
    except AnotherRankerError as error:
        raise DeploymentRefusedError(DeploymentStage.GATE, str(error), status=_CONFLICT) from error
    critical = [check.check for check in manifest.data_checks if check.severity == "critical"]
    if critical and not wanted.force:
        detail = f"critical data checks: {', '.join(critical)}; `force` deploys it anyway"
        raise DeploymentRefusedError(DeploymentStage.GATE, detail, status=_CONFLICT)

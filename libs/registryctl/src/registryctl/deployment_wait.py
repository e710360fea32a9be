"""Waits until all live replicas serve a deployment, for `registryctl … --wait`."""

import time
from collections.abc import Callable

from contracts.command_line import REFUSED, CommandError
from contracts.convergence import Deployed, lagging_replicas
from contracts.deployments import DeploymentReceipt
from contracts.registry.client import RegistryClient

# A replica that was killed counts as live for two minutes.
DEFAULT_SECONDS = 180.0
POLL_SECONDS = 0.5


def wait_until_served(
    registry: RegistryClient,
    receipt: DeploymentReceipt,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Return the names of the replicas once all serve a deployment.

    Raises `CommandError` with the names and reasons of those that don't after so many seconds, if none has reported, or
    if another deployment has taken this one's place; and `RegistryError`.
    """
    deployed = Deployed(receipt.deployment_id, receipt.version, receipt.mode)
    what = f"version {receipt.version} as {receipt.mode}"
    began = clock()
    while True:
        history = registry.history()
        state = next((e.state for e in history.deployments if e.deployment_id == receipt.deployment_id), "active")
        if state != "active":
            raise CommandError(REFUSED, f"{what} is not active any more: deployment {receipt.deployment_id} is {state}")
        lagging = lagging_replicas(deployed, history.replicas)
        names = sorted({each.replica_id for each in history.replicas})
        if names and not lagging:
            return names
        if clock() - began >= seconds:
            raise CommandError(REFUSED, _complaint(what, seconds, len(names), lagging))
        sleep(POLL_SECONDS)


def _complaint(what: str, seconds: float, replicas: int, lagging: dict[str, str]) -> str:
    if not replicas:
        return f"{what} is deployed, but no replica has reported within {seconds:g} s"
    reasons = "; ".join(f"{name}: {reason}" for name, reason in lagging.items())
    return (
        f"{what} is deployed, but {len(lagging)} of {replicas} replicas don't serve it after {seconds:g} s: {reasons}"
    )

"""Whether the replicas of a model serve one of its deployments, by what they report."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.deployments import DeploymentMode, ReplicaStatus


@dataclass(frozen=True)
class Deployed:
    """A deployment that the replicas should serve."""

    deployment_id: str
    version: str
    mode: DeploymentMode


def lagging_replicas(deployed: Deployed, replicas: Iterable[ReplicaStatus]) -> dict[str, str]:
    """Return why each of the replicas that don't serve a deployment doesn't, by its name.

    A replica of the release before names no deployment: its primary is compared by version, and nothing is known of
    its canary and shadow.
    """
    by_replica: dict[str, dict[str, ReplicaStatus]] = defaultdict(dict)
    for each in replicas:
        by_replica[each.replica_id][each.mode] = each
    reasons = {name: _lag(deployed, modes) for name, modes in sorted(by_replica.items())}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _lag(deployed: Deployed, modes: Mapping[str, ReplicaStatus]) -> str | None:
    primary, reported = modes.get("primary"), modes.get(deployed.mode)
    names_no_deployment = primary is not None and primary.deployment_id is None and primary.version is not None
    if names_no_deployment and deployed.mode != "primary":
        return None
    if reported is None:
        return f"reports no {deployed.mode}"
    if reported.deployment_id == deployed.deployment_id:
        return None
    if names_no_deployment and reported.version == deployed.version:
        return None
    if reported.error:
        return reported.error
    return "serves nothing" if reported.version is None else f"serves version {reported.version}"

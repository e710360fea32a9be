"""Reports of this replica about deployments: unreadable ones, failed ones, and recoveries."""

import monitoring
from contracts.deployments import ActiveDeployment
from recommender_api.models.activation import ActivationError
from recommender_api.models.bundle_fetch import BundleNotFoundError
from recommender_api.models.registry import ReplicaRegistry


class DeploymentReports:
    """The monitoring points of one model on one replica."""

    def __init__(self, registry: ReplicaRegistry, *, model_name: str, replica_id: str) -> None:
        self._registry = registry
        self._model_name = model_name
        self._replica_id = replica_id

    def report_failure(self, error: ActivationError) -> None:
        """Report that a deployed version can't be served."""
        deployment = error.deployment
        source = self._registry.source(deployment)
        with monitoring.bound_context(deployment_id=deployment.deployment_id):
            if isinstance(error.__cause__, BundleNotFoundError):
                monitoring.report(
                    "model.source_not_found",
                    error=error,
                    model_name=self._model_name,
                    model_version=deployment.version,
                    source=source,
                )
                return
            monitoring.report(
                "model.deployment_failed",
                error=error,
                model_name=self._model_name,
                model_version=deployment.version,
                source=source,
                target=self._replica_id,
                stage=error.stage,
            )

    def report_recovery(self, deployment: ActiveDeployment | None) -> None:
        """Report that what is deployed is in service again; None if that is nothing."""
        version = None if deployment is None else deployment.version
        with monitoring.bound_context(deployment_id=None if deployment is None else deployment.deployment_id):
            for point in ("model.deployment_failed", "model.source_not_found"):
                monitoring.recovered(point, model_name=self._model_name, model_version=version)

    def report_unreadable(self, error: Exception, path: str) -> None:
        """Report that the registry's answer can't be parsed."""
        monitoring.report("model.registry_parse_failed", error=error, registry_path=path, model_name=self._model_name)

"""What model-registry and those that ask it say to each other of deployments and versions."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from contracts.deployments import ActiveDeployments, DeploymentHistory, DeploymentRequest, ReplicaReport
from contracts.model_versions import ModelSummary, VersionDetail
from contracts.retention import RetentionReport

DEPLOYMENT = {
    "deployment_id": "1",
    "version": "12",
    "bundle_url": "/models/ranker/versions/12/bundle",
    "sha256": "a" * 64,
    "rollout": 1.0,
    "since": "2026-01-01T00:00:00Z",
}
RETENTION = {
    "name": "ranker",
    "dry_run": True,
    "removed": [],
    "kept": [{"version": "12", "refreshes": None, "reasons": ["aliased"]}],
    "bytes_removed": 0,
    "files_left": 0,
    "next_run": "2026-01-02T00:00:00Z",
}
VERSION = {"name": "ranker", "version": "12", "sha256": "a" * 64, "created_at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (ActiveDeployments, {"name": "ranker", "primary": DEPLOYMENT | {"region": "eu"}, "challenger": None}),
        (DeploymentHistory, {"deployments": [], "replicas": [], "next_page": "/2"}),
        (ReplicaReport, {"version": "12", "state": "serving", "since": "2026-01-01T00:00:00Z", "load": 0.5}),
        (VersionDetail, VERSION | {"size": 1, "manifest": {}, "labels": ["nightly"]}),
        (ModelSummary, {"name": "ranker", "versions": [VERSION | {"labels": []}], "owner": "ci"}),
        (RetentionReport, RETENTION),
    ],
)
def test_a_receiver_ignores_fields_of_a_newer_release(model: type[BaseModel], body: dict[str, Any]) -> None:
    model.model_validate(body)


def test_a_callers_request_with_an_unknown_field_is_rejected() -> None:
    with pytest.raises(ValidationError, match="stage"):
        DeploymentRequest.model_validate({"version": "12", "stage": "primary"})


@pytest.mark.parametrize(
    "damage", [{"sha256": "A" * 64}, {"rollout": 1.5}, {"since": "2026-01-01T00:00:00"}, {"version": None}]
)
def test_a_deployment_that_cannot_be_served_is_rejected_by_its_field(damage: dict[str, Any]) -> None:
    body = {"name": "ranker", "primary": DEPLOYMENT | damage}
    with pytest.raises(ValidationError, match=f"primary.{next(iter(damage))}"):
        ActiveDeployments.model_validate(body)

"""Hands over the bundle to the registry, the snapshot to feature-sync, and the report to the gateway."""

from pipeline.publish.feature_sync import sync_snapshot
from pipeline.publish.registry import (
    ServedModel,
    deploy,
    deploy_refresh,
    deployments,
    fetch_bundle,
    push,
    served_model,
)
from pipeline.publish.reports import put_checks, put_report

__all__ = [
    "ServedModel",
    "deploy",
    "deploy_refresh",
    "deployments",
    "fetch_bundle",
    "push",
    "put_checks",
    "put_report",
    "served_model",
    "sync_snapshot",
]

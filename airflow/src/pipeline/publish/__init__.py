"""Hands over the bundle to the registry, the snapshot to feature-sync, and the report to the gateway."""

from pipeline.publish.feature_sync import sync_snapshot
from pipeline.publish.registry import (
    ServedModel,
    deploy,
    deploy_refresh,
    fetch_bundle,
    push,
    served_model,
    version_history,
)
from pipeline.publish.reports import list_reports, put_checks, put_report

__all__ = [
    "ServedModel",
    "deploy",
    "deploy_refresh",
    "fetch_bundle",
    "list_reports",
    "push",
    "put_checks",
    "put_report",
    "served_model",
    "sync_snapshot",
    "version_history",
]

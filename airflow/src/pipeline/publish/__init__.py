"""Hands over the bundle to the registry, the snapshot to feature-sync, and the report to the gateway."""

from pipeline.publish.feature_sync import sync_snapshot
from pipeline.publish.registry import deploy, push
from pipeline.publish.reports import put_checks, put_report

__all__ = ["deploy", "push", "put_checks", "put_report", "sync_snapshot"]

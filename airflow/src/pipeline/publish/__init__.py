"""Hands over the bundle to the registry and the snapshot to feature-sync."""

from pipeline.publish.feature_sync import sync_snapshot
from pipeline.publish.registry import deploy, push

__all__ = ["deploy", "push", "sync_snapshot"]

"""Putting the bundle together."""

from pipeline.bundle.build import build_bundle

__all__ = ["build_bundle"]

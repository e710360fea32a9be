"""Assembles the bundle."""

from pipeline.bundle.build import build_bundle

__all__ = ["build_bundle"]

"""Datasets that feature-sync has withdrawn; the next bundle leaves them out."""

from pipeline.withdrawn.withdrawn import read_withdrawn

__all__ = ["read_withdrawn"]

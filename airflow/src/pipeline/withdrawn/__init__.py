"""Datasets that feature-sync has withdrawn: they are left out of the next bundle."""

from pipeline.withdrawn.withdrawn import read_withdrawn

__all__ = ["read_withdrawn"]

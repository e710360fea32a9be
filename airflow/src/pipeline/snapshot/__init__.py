"""The feature snapshot of a run."""

from pipeline.snapshot.users import user_blobs

__all__ = ["user_blobs"]

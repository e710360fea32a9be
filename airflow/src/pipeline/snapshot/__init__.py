"""The feature snapshot of a run."""

from pipeline.snapshot.increments import add_changes
from pipeline.snapshot.users import user_blobs

__all__ = ["add_changes", "user_blobs"]

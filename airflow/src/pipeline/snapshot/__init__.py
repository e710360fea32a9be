"""The feature snapshot of a run."""

from pipeline.snapshot.increments import add_changes, find_chain
from pipeline.snapshot.users import user_blobs

__all__ = ["add_changes", "find_chain", "user_blobs"]

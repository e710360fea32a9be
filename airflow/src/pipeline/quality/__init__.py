"""Data quality: unusable data is dropped and reported; above a limit the run stops."""

from pipeline.quality.cleaning import clean

__all__ = ["clean"]

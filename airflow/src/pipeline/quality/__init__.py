"""Is the data fit to train on? What is not is dropped and reported; past a limit the run stops."""

from pipeline.quality.cleaning import clean

__all__ = ["clean"]

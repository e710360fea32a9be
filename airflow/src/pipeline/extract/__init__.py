"""From the databases to Parquet: what a run is made from."""

from pipeline.extract.extract import extract

__all__ = ["extract"]

"""Builds the look-up tables of recall: neighbours by behaviour, by text and by embedding."""

from pipeline.recall.content import content_vectors
from pipeline.recall.tables import build_tables, content_neighbours

__all__ = ["build_tables", "content_neighbours", "content_vectors"]

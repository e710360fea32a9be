"""Builds the look-up tables of recall: neighbours by behaviour, by text and by embedding, also of the user's own."""

from pipeline.recall.content import content_vectors
from pipeline.recall.own_vectors import read_own_vectors
from pipeline.recall.tables import build_tables, content_neighbours, own_neighbours

__all__ = [
    "build_tables",
    "content_neighbours",
    "content_vectors",
    "own_neighbours",
    "read_own_vectors",
]

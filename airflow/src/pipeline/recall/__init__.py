"""Building the look-up tables that recall reads: who goes with whom by behaviour, by text and by embedding."""

from pipeline.recall.content import content_vectors
from pipeline.recall.tables import NO_POPULAR, build_tables, content_neighbours

__all__ = ["NO_POPULAR", "build_tables", "content_neighbours", "content_vectors"]

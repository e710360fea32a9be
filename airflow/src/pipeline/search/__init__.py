"""A bounded, seeded search for a better shape of the model, confirmed on users that no trial saw."""

from pipeline.search.fragment import check_output, fragment_of, write_fragment
from pipeline.search.loop import Bounds, search
from pipeline.search.results import SearchResult
from pipeline.search.source import load_source
from pipeline.search.text import describe

__all__ = [
    "Bounds",
    "SearchResult",
    "check_output",
    "describe",
    "fragment_of",
    "load_source",
    "search",
    "write_fragment",
]

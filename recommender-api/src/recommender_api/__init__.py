"""Recall, ranking, cache and the fallback chain, served over HTTP."""

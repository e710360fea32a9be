"""Recall, ranking, cache and the fallback chain behind HTTP."""

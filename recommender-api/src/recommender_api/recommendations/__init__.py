"""Recommendations over HTTP: the endpoints, the fast path past the framework, and what is written after an answer."""

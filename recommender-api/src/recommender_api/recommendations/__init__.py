"""Recommendations over HTTP: the endpoints, the fast path around the framework, and the writes after an answer."""

"""Outbound HTTP: bounded in time and size, without redirects, and never to link-local addresses. It needs httpx."""

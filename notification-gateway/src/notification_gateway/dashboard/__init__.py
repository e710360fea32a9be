"""The dashboard: what is wrong now, what was sent about it, and the digests; one page, no assets from elsewhere."""

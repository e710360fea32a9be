"""Which requests were degraded or failed: an index by request id, over seven days."""

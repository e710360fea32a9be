"""Named tokens: their table, their endpoints, and what other services recognize them by."""

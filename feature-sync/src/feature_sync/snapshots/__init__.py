"""Moving a feature snapshot into Redis: all of it, then one pointer."""

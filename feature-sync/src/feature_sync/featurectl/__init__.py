"""`featurectl`: feature-sync from a terminal."""

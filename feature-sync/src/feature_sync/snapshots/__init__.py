"""Moves a feature snapshot into Redis: first all users, then the pointer."""

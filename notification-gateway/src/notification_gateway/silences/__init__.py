"""Silences: for a time nobody is told of what matches; it is recorded all the same."""

"""Silences: for a time matching signals send no notifications; they are still recorded."""

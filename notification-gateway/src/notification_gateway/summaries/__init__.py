"""Summaries: one message for each hour or day, at its end."""

"""Summaries: what happened in an hour or a day, told once at its end."""

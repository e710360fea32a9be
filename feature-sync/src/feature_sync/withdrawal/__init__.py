"""Withdrawn datasets, by an operator or the business database: first in PostgreSQL, then in Redis."""

"""Datasets that no answer may show: an operator's and the business database's, in PostgreSQL, then in Redis."""

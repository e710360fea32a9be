"""Declared columns: SQL expressions over the clean tables of a run, one number for each dataset or user."""

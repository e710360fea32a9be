"""The business database: the canonical tables, and the replacement of their content."""

"""Alembic's entry; `servicekit.database.migrate` brings the connection and the schema."""

from servicekit.database import run_alembic_env

run_alembic_env()

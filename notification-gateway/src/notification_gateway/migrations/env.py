"""Alembic's entry; everything is in servicekit."""

from servicekit.database import run_alembic_env

run_alembic_env()

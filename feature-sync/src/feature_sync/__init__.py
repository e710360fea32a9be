"""Moves feature snapshots and live behaviour events into Redis, and events into PostgreSQL."""

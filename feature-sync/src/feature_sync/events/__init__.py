"""Behaviour events from the stream: applied to live features at once, and stored in PostgreSQL."""

"""Behaviour events from the stream: into live features at once, into PostgreSQL for good."""

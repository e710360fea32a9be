"""The outbox: what must be sent stands in the database before anything is acknowledged."""

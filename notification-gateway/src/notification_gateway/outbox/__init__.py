"""The outbox: every message is stored in the database before the request that causes it is answered."""

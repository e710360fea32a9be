"""Real Redis, PostgreSQL and collector processes for tests."""

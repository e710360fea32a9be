"""A test message through one channel, past the outbox, and what came of it."""

"""Sends a test message through one channel, without the outbox, and returns the outcome."""

"""Webhooks: what happens to versions, posted to others, from an outbox."""

"""An outbox: what is put in is delivered by a worker thread, waits while the other side is down, and stays bounded."""

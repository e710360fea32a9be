"""Incidents: signals of one fingerprint, from the first to the recovery or a quarter of an hour of quiet."""

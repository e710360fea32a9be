"""Incidents: the signals of one fingerprint, from the first one to the recovery or to 15 minutes without one."""

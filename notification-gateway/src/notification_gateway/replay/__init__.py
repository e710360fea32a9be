"""Tries a policy on the signals that the gateway has stored: who would have been notified of what."""

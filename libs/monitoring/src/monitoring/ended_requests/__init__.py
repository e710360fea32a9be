"""Requests after their answer: degraded and failed ones for the gateway's index, and lines of the access log."""

"""Monitoring points, reports and their delivery to a Sentry-compatible collector."""

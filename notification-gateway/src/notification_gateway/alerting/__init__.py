"""Alerting: who is notified of an incident, of its escalation, its reminders and its end, and GET /alerts."""

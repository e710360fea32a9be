"""Alerting: notifications of an incident (first message, escalation, reminders, end), and GET /alerts."""

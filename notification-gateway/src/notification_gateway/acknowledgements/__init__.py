"""Acknowledgements: somebody takes care of an incident, and it is not escalated."""

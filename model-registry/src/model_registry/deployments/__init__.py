"""Deployments: the versions in service, their history, and rollbacks."""

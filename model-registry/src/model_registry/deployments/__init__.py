"""Deployments: what is in service, how it got there, and back."""

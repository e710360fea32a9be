"""Evaluation parts: stored beside the bundles, and what the gate compares versions with."""

"""Versions of a model: uploaded once, never changed."""

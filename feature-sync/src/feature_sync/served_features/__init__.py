"""Stores what sampled answers were ranked with, for some days."""

"""Comparisons of two versions by their evaluation parts."""

"""Setup that all ways of running the stack share: generated settings, and the first model."""

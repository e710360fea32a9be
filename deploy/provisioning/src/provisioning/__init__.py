"""What every way to run the stack has in common: the settings that it makes for itself, and its first model."""

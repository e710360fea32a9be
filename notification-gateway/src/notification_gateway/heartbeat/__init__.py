"""The dead man's switch: somebody else alarms when the gateway stops calling."""

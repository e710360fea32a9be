"""The dead man's switch: an outside service raises an alarm when the gateway stops calling it."""

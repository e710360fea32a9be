"""`make verify`: raises every monitoring point by a real fault beside the stack, and finds it in the collector."""

"""`make verify`: every monitoring point fired by a real fault beside the running stack, and found in the collector."""

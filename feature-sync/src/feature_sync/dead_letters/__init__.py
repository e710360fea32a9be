"""Dead letters for people: shown, put back into the event stream, and dropped."""

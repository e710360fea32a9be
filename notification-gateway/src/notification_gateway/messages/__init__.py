"""Messages: writes the notices of incidents and summaries, and renders a notice for each channel."""

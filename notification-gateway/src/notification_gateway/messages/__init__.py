"""Messages: writes the notices of incidents and summaries, and gives a notice its form for each channel."""

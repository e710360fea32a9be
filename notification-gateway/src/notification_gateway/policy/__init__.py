"""The alert policy: which signals matter how much, who hears of them, and when. Pure but for reading the file."""

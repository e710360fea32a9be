"""The alert policy: the priority of signals, who is notified, and when. Pure, except for reading the file."""

"""Replays stored signals under another policy, and shows who would have been notified."""

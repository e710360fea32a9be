"""The runbook page of each monitoring point: meaning, actions, commands, and how earlier incidents ended."""

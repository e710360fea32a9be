"""Progressive rollouts: a canary that grows step by step while its figures allow it."""

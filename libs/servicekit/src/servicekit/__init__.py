"""The HTTP conventions that every service keeps: problems, request ids, bearer tokens, logs."""

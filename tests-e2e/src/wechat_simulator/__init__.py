"""A WeChat Work simulator with real error codes, for tests and the demo."""

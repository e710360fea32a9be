"""A WeChat Work server for tests and the demo: real error codes, limits and token life, and faults on demand."""

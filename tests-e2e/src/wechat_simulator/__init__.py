"""A WeChat Work server for tests and the demo: real error codes, limits, token TTL, faults on demand; caught mails."""

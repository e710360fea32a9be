"""A WeChat Work server for tests and the demo: real error codes, limits, token life, faults on demand; caught mails."""

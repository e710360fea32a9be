"""`registryctl`: the registry from a terminal or a CI job. Needs httpx and pydantic, nothing of the services."""

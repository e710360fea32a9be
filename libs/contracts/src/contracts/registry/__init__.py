"""The client of model-registry: `client` has it, for callers that block and for replicas; `errors` what it raises."""

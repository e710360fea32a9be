"""The client of model-registry, for whoever calls it: `RegistryClient` blocks, `AsyncRegistryClient` doesn't."""

from contracts.registry.calls import ActiveAnswer
from contracts.registry.client import AsyncRegistryClient, RegistryClient
from contracts.registry.errors import (
    RegistryAnswerError,
    RegistryError,
    RegistryRejectedError,
    RegistryUnreachableError,
)

__all__ = [
    "ActiveAnswer",
    "AsyncRegistryClient",
    "RegistryAnswerError",
    "RegistryClient",
    "RegistryError",
    "RegistryRejectedError",
    "RegistryUnreachableError",
]

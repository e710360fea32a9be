"""Who may call the registry: the tokens of its environment, the named ones, and everybody where reads are public."""

from fastapi import params

from contracts.access_tokens import ServiceRole
from model_registry.settings import Settings
from servicekit.bearer import Access
from servicekit.tokens import KnownToken, Tokens


class RegistryAccess(Access):
    """The access of the registry; the `{name}` of a path is a model."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            Tokens(
                KnownToken.of_setting("REGISTRY_TOKEN", settings.registry_token, "admin"),
                KnownToken.of_setting("REGISTRY_CI_TOKEN", settings.registry_ci_token, "ci"),
                KnownToken.of_setting("REGISTRY_REPLICA_TOKEN", settings.registry_replica_token, "replica"),
                KnownToken.of_setting("REGISTRY_READ_TOKEN", settings.registry_read_token, "reader"),
            ),
            model_parameter="name",
        )
        self._has_public_reads = settings.has_public_reads

    def read(self, *more: ServiceRole) -> list[params.Depends]:
        """Return the `dependencies=` of a route that shows no bundle: PUBLIC_READS opens it to everybody."""
        return self.allow("reader", "ci", "admin", *more, is_public=self._has_public_reads)

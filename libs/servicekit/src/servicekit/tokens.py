"""The tokens that a service recognizes: those of its environment, and the named ones of the registry."""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self, get_args

from pydantic import SecretStr

from contracts.access_tokens import ServiceRole, TokenDigest

# The registry may be away for a night; a token that was revoked meanwhile must not stay valid for good.
MAX_AGE = timedelta(hours=24)


@dataclass(frozen=True)
class Caller:
    """Who calls: the token's name (the variable's for one of the environment), its role, and its models (None: all).

    `replicas` are the ids as which it reports, or their beginnings with `*`; None: all.
    """

    name: str
    role: str
    models: frozenset[str] | None = None
    replicas: frozenset[str] | None = None

    def is_replica(self, replica_id: str) -> bool:
        """Return whether it may report as a replica."""
        return self.replicas is None or any(
            replica_id == each or (each.endswith("*") and replica_id.startswith(each[:-1])) for each in self.replicas
        )


@dataclass(frozen=True)
class KnownToken:
    """A token as it is kept: the SHA-256 of its secret."""

    digest: bytes
    caller: Caller
    expires_at: datetime | None = None

    @classmethod
    def of_setting(cls, variable: str, secret: SecretStr | None, role: ServiceRole) -> list[Self]:
        """Return the token of an environment variable; none if it is not set."""
        if secret is None:
            return []
        return [cls(digest_of(secret.get_secret_value().encode()), Caller(variable, role))]

    @classmethod
    def of_digest(cls, listed: TokenDigest) -> Self:
        """Return a token that the registry lists."""
        models, replicas = (None if each is None else frozenset(each) for each in (listed.models, listed.replicas))
        caller = Caller(listed.name, listed.role, models, replicas)
        return cls(bytes.fromhex(listed.sha256), caller, listed.expires_at)


def digest_of(secret: bytes) -> bytes:
    """Return what is kept of a secret. It is long and random, so one round of SHA-256 without salt is enough."""
    return hashlib.sha256(secret).digest()


class Tokens:
    """Recognizes tokens, without a call to anything. The named ones are replaced as a whole."""

    def __init__(
        self, *of_settings: list[KnownToken], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._fixed = tuple(token for each in of_settings for token in each)
        self._named: tuple[KnownToken, ...] = ()
        self._named_at = clock()
        self._clock = clock

    def replace_named(self, named: Iterable[KnownToken]) -> None:
        """Take over the registry's list; a role that this release does not know opens nothing."""
        self._named = tuple(each for each in named if each.caller.role in get_args(ServiceRole))
        self._named_at = self._clock()

    def confirm_named(self) -> None:
        """Note that the registry's list has not changed."""
        self._named_at = self._clock()

    def identify(self, secret: bytes) -> list[Caller]:
        """Return whose secret this is: one caller, several if variables have the same value, or none.

        All tokens are compared, so the time tells nothing.
        """
        digest = digest_of(secret)
        return [known.caller for known in self._valid() if hmac.compare_digest(known.digest, digest)]

    def digests(self, name: str, role: str) -> list[bytes]:
        """Return the valid digests of a name's tokens with this role."""
        return [each.digest for each in self._valid() if (each.caller.name, each.caller.role) == (name, role)]

    def _valid(self) -> list[KnownToken]:
        now = self._clock()
        named = self._named if now - self._named_at <= MAX_AGE else ()
        return [each for each in (*self._fixed, *named) if each.expires_at is None or now < each.expires_at]

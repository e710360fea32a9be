"""Which role may call which route of an application, read from the guards of its routes."""

from collections.abc import Iterator
from typing import NamedTuple, get_args

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from contracts.access_tokens import ServiceRole
from servicekit.guards import Guard
from servicekit.routing import BoundedRoute

ROLES: tuple[str, ...] = get_args(ServiceRole)


class Right(NamedTuple):
    """Who may call a route: everybody if it has no guard."""

    method: str
    path: str
    guards: list[Guard]

    @property
    def label(self) -> str:
        """The route, as documents name it."""
        return f"{self.method} {self.path}"

    @property
    def roles(self) -> frozenset[str]:
        """The roles whose tokens open it."""
        roles = frozenset(ROLES)
        for guard in self.guards:
            roles &= guard.roles
        return roles


def rights(app: FastAPI) -> Iterator[Right]:
    """Return the rights of the routes, in the order of their paths; the OpenAPI document and its pages are left out."""
    contexts = [each for each in iter_route_contexts(app.routes) if isinstance(each.original_route, BoundedRoute)]
    for context in sorted(contexts, key=lambda each: str(each.path)):
        route = context.original_route
        guards = route.guards if isinstance(route, BoundedRoute) else []
        for method in sorted(context.methods or ()):
            yield Right(method, str(context.path), guards)

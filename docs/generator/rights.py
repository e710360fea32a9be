"""docs/RIGHTS.md: which role may call which route, from the guards of the routes."""

from servicekit.rights import ROLES, Right, rights
from services import SERVICES

_NOBODY = "–"
_PUBLIC_READS = "`PUBLIC_READS`"
_LINK = "the signature of a link in a message"
ACTIONS = ("acknowledge", "close", "false-alarm", "reopen")
# Changes without a token, and what is checked in its place.
CHECKED_OTHERWISE = {
    "POST /webhooks/sentry": "a signature with `SENTRY_WEBHOOK_SECRET`",
    **{f"{method} /{action}/{{incident_id}}": _LINK for action in ACTIONS for method in ("GET", "POST")},
    "POST /dashboard/session": "the token of an admin, in the form",
}

_HEAD = """# Who may call what

Generated from the guards of the routes by `make docs`. A test calls every route without a token, with a wrong one and
with one of each role, and compares the answers with the same guards.

| role | tokens | for |
|---|---|---|
| `admin` | named ones; `REGISTRY_TOKEN` in the registry, `ADMIN_TOKEN` elsewhere | people who run the stack |
| `ci` | named ones; `REGISTRY_CI_TOKEN` | pipelines: push, deploy, roll back |
| `replica` | named ones; `REGISTRY_REPLICA_TOKEN` | recommender-api |
| `reader` | named ones; `REGISTRY_READ_TOKEN` | dashboards, audits, the other services |
| `events` | `EVENTS_TOKEN` | shops that send behaviour |
| `signals` | `GATEWAY_TOKEN` | programs that send alert signals and reports |

Without a token the answer is 401; with a token whose role or models don't fit, 403. A named token is made by
[`registryctl tokens`](OPERATIONS.md#tokens) and opens all services. A token that is limited to models opens only the
registry's routes of these models. `PUBLIC_READS` in the column *no token* means: open where `PUBLIC_READS` is true,
which is the default outside of production.
"""


def render() -> str:
    """Return the page."""
    parts = [_HEAD]
    for service in SERVICES:
        parts += [f"## {service.name}", "", f"| route | no token | {' | '.join(ROLES)} |"]
        parts.append("|---|---|" + "---|" * len(ROLES))
        parts += [_row(right) for right in rights(service.create_app(service.settings()))]
        parts.append("")
    return "\n".join(parts)


def _row(right: Right) -> str:
    without = _without_token(right)
    shows_roles = without in (_NOBODY, _PUBLIC_READS)
    cells = [("yes" if role in right.roles else _NOBODY) if shows_roles else "" for role in ROLES]
    return f"| `{right.label}` | {without} | {' | '.join(cells)} |"


def _without_token(right: Right) -> str:
    if not right.guards:
        return CHECKED_OTHERWISE.get(right.label, "yes")
    if any(guard.needs_session for guard in right.guards):
        return "a session of the dashboard"
    return _PUBLIC_READS if all(guard.is_public for guard in right.guards) else _NOBODY

"""HTTP API of the webhooks."""

from typing import Annotated, Any

from fastapi import Path, Query
from sqlalchemy import Row

from contracts.query_values import WholeNumber
from contracts.text import TypedText
from contracts.webhooks import CreatedWebhook, NewWebhook, WebhookList, WebhookRecord
from model_registry.access import RegistryAccess
from model_registry.webhooks.service import Webhooks
from servicekit.bearer import CallerName
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

_Webhook = Annotated[int, WholeNumber(1, 2**31 - 1), Path(description="Number of the webhook", examples=["1"])]
_Reason = Annotated[Annotated[str, TypedText(1000)] | None, Query(description="Why, for the audit log")]


def router(webhooks: Webhooks, access: RegistryAccess) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["webhooks"])
    guard = access.allow("admin")

    @made.post(
        "/webhooks",
        status_code=201,
        responses=problem_responses(503, conflict="There are too many webhooks"),
        dependencies=guard,
    )
    def add_webhook(wanted: NewWebhook, caller: CallerName) -> CreatedWebhook:
        """Register an address to which events are posted; the answer shows the key of the signatures, once."""
        row = webhooks.add(wanted, caller)
        return CreatedWebhook(**_record(row, 0).model_dump(), secret=row.secret)

    @made.get("/webhooks", responses=problem_responses(503), dependencies=guard)
    def list_webhooks() -> WebhookList:
        """List the webhooks, and how their deliveries go."""
        return WebhookList(webhooks=[_record(each.row, each.waiting) for each in webhooks.all_of()])

    @made.delete(
        "/webhooks/{webhook_id}",
        status_code=204,
        responses=problem_responses(503, not_found="There is no such webhook"),
        dependencies=guard,
    )
    def remove_webhook(webhook_id: _Webhook, reason: _Reason = None) -> None:  # noqa: ARG001 - for the log
        """Remove a webhook, and what waits for it."""
        webhooks.remove(webhook_id)

    return made


def _record(row: Row[Any], waiting: int) -> WebhookRecord:
    return WebhookRecord(
        id=row.id,
        url=row.url,
        events=row.events,
        created_at=row.created_at,
        created_by=row.created_by,
        waiting=waiting,
        failures=row.failures,
        last_success_at=row.last_success_at,
        last_error=row.last_error,
    )

"""Bodies of model-registry's endpoints about webhooks, and of what it posts to them."""

import hashlib
import hmac
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from contracts.text import TypedText

SIGNATURE_HEADER = "X-Recsys-Signature"
MAX_URL_CHARS = 2000
MIN_SECRET_CHARS, MAX_SECRET_CHARS = 16, 200
MAX_WEBHOOKS = 20


class WebhookEvent(StrEnum):
    """What has happened."""

    PUSHED = "version.pushed"
    DEPLOYED = "deployment.active"
    REJECTED = "deployment.rejected"
    ROLLED_BACK = "deployment.rolled_back"
    ALIAS_CHANGED = "alias.changed"


class NewWebhook(BaseModel):
    """The body of `POST /webhooks`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"url": "https://ci.example/hooks/registry"}]}
    )

    url: Annotated[str, TypedText(MAX_URL_CHARS, min_chars=1), Field(description="Where to post; https")]
    events: Annotated[
        list[WebhookEvent],
        Field(min_length=1, description="What is posted; all by default", examples=[["version.pushed"]]),
    ] = list(WebhookEvent)
    secret: Annotated[
        Annotated[str, TypedText(MAX_SECRET_CHARS, min_chars=MIN_SECRET_CHARS)] | None,
        Field(description="Key of the signatures; null: the registry makes one"),
    ] = None
    reason: Annotated[Annotated[str, TypedText(1000)] | None, Field(description="Why, for the audit log")] = None


class WebhookRecord(BaseModel):
    """A webhook, and how its deliveries go."""

    id: Annotated[int, Field(description="Its number", examples=[1])]
    url: Annotated[str, Field(description="Where is posted", examples=["https://ci.example/hooks/registry"])]
    # A later registry may have further events.
    events: Annotated[list[str], Field(description="What is posted", examples=[["version.pushed"]])]
    created_at: Annotated[datetime, Field(description="Since when", examples=["2026-11-24T03:10:00Z"])]
    created_by: Annotated[str, Field(description="Token that registered it", examples=["REGISTRY_TOKEN"])]
    waiting: Annotated[int, Field(description="Deliveries that wait", examples=[0])] = 0
    failures: Annotated[int, Field(description="Tries in a row that have failed", examples=[0])] = 0
    last_success_at: Annotated[datetime | None, Field(description="Last delivery; null: none yet")] = None
    last_error: Annotated[str | None, Field(description="Why the last try failed; null: it didn't")] = None


class CreatedWebhook(WebhookRecord):
    """A new webhook with the key of its signatures, which is not shown again."""

    secret: Annotated[str, Field(description="Key of the signatures: keep it now")]


class WebhookList(BaseModel):
    """All webhooks."""

    webhooks: Annotated[list[WebhookRecord], Field(description="The webhooks, without their secrets")]


class WebhookDelivery(BaseModel):
    """What is posted. The same delivery may come twice: the receiver goes by `delivery_id`."""

    delivery_id: Annotated[str, Field(description="Id of the delivery, the same in all tries")]
    event: Annotated[str, Field(description="What has happened", examples=["deployment.active"])]
    model: Annotated[str, Field(description="Model", examples=["ranker"])]
    at: Annotated[datetime, Field(description="When it happened")]
    data: Annotated[dict[str, Any], Field(description="Version, and what else belongs to the event")]


def sign(secret: str, body: bytes, at: int) -> str:
    """Return the value of the header `X-Recsys-Signature`: HMAC-SHA256 over `<Unix seconds>.<body>`."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"

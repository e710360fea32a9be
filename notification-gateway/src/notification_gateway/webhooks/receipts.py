"""The answers to webhooks."""

from typing import Annotated

from pydantic import BaseModel, Field


class HookReceipt(BaseModel):
    """The 202 answer to a hook."""

    accepted: Annotated[int, Field(ge=0)]
    duplicates: Annotated[int, Field(ge=0)]


class AlertmanagerReceipt(HookReceipt):
    """The 202 answer to a batch of alerts. Unreadable alerts are reported to people and need not be sent again."""

    unreadable: Annotated[int, Field(ge=0, description="Alerts that could not be read")]
    truncated: Annotated[int, Field(ge=0, description="Alerts that Alertmanager left out, according to the body")]

"""The client of the registry's named tokens."""

from collections.abc import Callable
from typing import TypeVar

import httpx
from pydantic import BaseModel

from contracts.access_tokens import CreatedToken, NewToken, TokenList, TokenRotation
from contracts.registry import calls
from contracts.registry.calls import Call, Request

_AnswerT = TypeVar("_AnswerT", bound=BaseModel)


class TokenClient:
    """Blocks; all methods raise `RegistryError`. The caller's token must be that of an admin."""

    def __init__(self, send: Callable[[Request], httpx.Response]) -> None:
        self._send = send

    def create(self, wanted: NewToken) -> CreatedToken:
        """Create a token and return it with its secret."""
        return self._call(Call("POST", "/tokens", {"json": _body(wanted)}, answer=CreatedToken))

    def rotate(self, name: str, wanted: TokenRotation) -> CreatedToken:
        """Give a token a new secret and return it."""
        return self._call(Call("POST", f"/tokens/{name}/rotate", {"json": _body(wanted)}, answer=CreatedToken))

    def list_all(self) -> TokenList:
        """Return all tokens, without their secrets."""
        return self._call(Call("GET", "/tokens", answer=TokenList))

    def revoke(self, name: str, reason: str | None = None) -> None:
        """Revoke all secrets of a token."""
        content = {"params": {"reason": reason}} if reason else {}
        calls.check_success(self._send(Request("DELETE", f"/tokens/{name}", content)))

    def _call(self, call: Call[_AnswerT]) -> _AnswerT:
        return calls.read(call, self._send(call))


def _body(wanted: BaseModel) -> dict[str, object]:
    return wanted.model_dump(mode="json", exclude_none=True)

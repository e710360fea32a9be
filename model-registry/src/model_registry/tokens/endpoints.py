"""HTTP API of the named tokens."""

import hashlib
from typing import Annotated, Any

from fastapi import Header, Path, Query, Response
from sqlalchemy import Row

from contracts.access_tokens import (
    TOKEN_NAME,
    CreatedToken,
    NewToken,
    TokenDigests,
    TokenList,
    TokenRecord,
    TokenRotation,
)
from contracts.text import TypedText
from model_registry.access import RegistryAccess
from model_registry.tokens.service import NamedTokens
from servicekit.bearer import CallerName
from servicekit.etags import is_named
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

_Name = Annotated[str, Path(pattern=TOKEN_NAME, description="Name of the token", examples=["ci-main"])]
_Reason = Annotated[Annotated[str, TypedText(1000)] | None, Query(description="Why, for the audit log")]
_NO_TOKEN = "There is no valid token of this name"  # noqa: S105 - a message


def router(tokens: NamedTokens, access: RegistryAccess) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["tokens"])
    guard = access.allow("admin")

    @made.get("/tokens", responses=problem_responses(503), dependencies=guard)
    def list_tokens() -> TokenList:
        """List all named tokens, also expired and revoked ones; nobody can see a secret again."""
        return TokenList(tokens=[_record(row) for row in tokens.all_of()])

    @made.post(
        "/tokens",
        status_code=201,
        responses=problem_responses(503, conflict="There is a valid token of this name, or there are too many"),
        dependencies=guard,
    )
    def create_token(wanted: NewToken, caller: CallerName) -> CreatedToken:
        """Create a named token; the answer shows its secret, once."""
        return _created(*tokens.create(wanted, caller))

    @made.post(
        "/tokens/{token_name}/rotate",
        status_code=201,
        responses=problem_responses(503, not_found=_NO_TOKEN, conflict="There are too many tokens"),
        dependencies=guard,
    )
    def rotate_token(token_name: _Name, caller: CallerName, wanted: TokenRotation | None = None) -> CreatedToken:
        """Give a token a new secret; the earlier one stays valid for the overlap.

        `expires_at` says when the new one expires: after as many days as the earlier one, unless `days` is given.
        """
        return _created(*tokens.rotate(token_name, wanted or TokenRotation(), caller))

    @made.delete(
        "/tokens/{token_name}",
        status_code=204,
        responses=problem_responses(503, not_found=_NO_TOKEN),
        dependencies=guard,
    )
    def revoke_token(token_name: _Name, reason: _Reason = None) -> None:  # noqa: ARG001 - for the audit log
        """Revoke all secrets of a token: at once in this registry, within seconds in the other services."""
        tokens.revoke(token_name)

    @made.get(
        "/tokens/digests",
        response_model=TokenDigests,
        responses={304: {"description": "Nothing changed"}, **problem_responses(503)},
        dependencies=access.allow("reader", "replica", "admin"),
    )
    def get_digests(
        if_none_match: Annotated[str | None, Header(description="The ETag of the last answer")] = None,
    ) -> Response:
        """Return what the other services recognize named tokens by."""
        content = TokenDigests(tokens=tokens.digests()).model_dump_json()
        etag = f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'
        if if_none_match is not None and is_named(etag, if_none_match):
            return Response(status_code=304, headers={"ETag": etag})
        return Response(content, media_type="application/json", headers={"ETag": etag})

    return made


def _record(row: Row[Any]) -> TokenRecord:
    return TokenRecord.model_validate(row, from_attributes=True)


def _created(row: Row[Any], secret: str) -> CreatedToken:
    return CreatedToken(**_record(row).model_dump(), token=secret)

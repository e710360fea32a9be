"""The client of the aliases, tags and descriptions of one model's versions."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from contracts.model_versions import VersionDetail
from contracts.registry import calls
from contracts.registry.calls import Call, Request
from contracts.version_labels import AliasList, AliasRecord, AliasRequest, LabelChange, VersionSearch

_AnswerT = TypeVar("_AnswerT", bound=BaseModel)


class LabelClient:
    """Blocks; all methods raise `RegistryError`. A registry of an earlier release answers 404 or 405."""

    def __init__(self, send: Callable[[Request], httpx.Response], model: str) -> None:
        self._send = send
        self._path = f"/models/{model}"

    def aliases(self) -> AliasList:
        """Return the aliases."""
        return self._call(Call("GET", f"{self._path}/aliases", answer=AliasList))

    def set_alias(self, alias: str, wanted: AliasRequest) -> AliasRecord:
        """Let an alias point to a version."""
        content = {"json": wanted.model_dump(mode="json", exclude_none=True)}
        return self._call(Call("PUT", f"{self._path}/aliases/{alias}", content, answer=AliasRecord))

    def remove_alias(self, alias: str, reason: str | None = None) -> None:
        """Remove an alias; the version stays."""
        content = {"params": {"reason": reason}} if reason else {}
        calls.check_success(self._send(Request("DELETE", f"{self._path}/aliases/{alias}", content)))

    def change(self, version: str, wanted: LabelChange) -> VersionDetail:
        """Change tags and description of a version."""
        content = {"json": wanted.model_dump(mode="json", exclude_unset=True)}
        return self._call(Call("PATCH", f"{self._path}/versions/{version}", content, answer=VersionDetail))

    def search(self, wanted: Mapping[str, Any]) -> VersionSearch:
        """Return a page of the versions that fit to all parameters of `GET …/versions`."""
        return self._call(Call("GET", f"{self._path}/versions", {"params": dict(wanted)}, answer=VersionSearch))

    def _call(self, call: Call[_AnswerT]) -> _AnswerT:
        return calls.read(call, self._send(call))

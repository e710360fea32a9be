"""Clients of the page's sources, Prometheus and the model registry, with a timeout of two seconds."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import httpx
from pydantic import AfterValidator, BaseModel, Field, SecretStr, TypeAdapter, ValidationError

from contracts.data_checks import DataCheck
from contracts.deployments import DeploymentRecord
from contracts.model_versions import VersionReceipt
from contracts.registry.client import RegistryClient
from contracts.registry.errors import RegistryAnswerError, RegistryRejectedError
from contracts.rollouts import RolloutRecord
from servicekit.outbound.http import call, client

TIMEOUT = httpx.Timeout(2.0)
# How long a source that does not answer is not called again.
PAUSE = timedelta(seconds=10)
VERSIONS_SHOWN = 12
# No count, duration or share is larger. Sums and products of such figures stay finite.
MAX_FIGURE = 1e15
# Seconds since 1970, which a date in any zone can express.
_MAX_TIME = 1e11


def _bounded(value: float) -> float:
    """Return 0 for NaN and infinity, which divisions by zero give."""
    return max(-MAX_FIGURE, min(MAX_FIGURE, value)) if math.isfinite(value) else 0.0


_Point = tuple[Annotated[float, Field(ge=0, le=_MAX_TIME)], Annotated[float, AfterValidator(_bounded)]]
Points = Sequence[_Point]


class SourceError(Exception):
    """The source gave no usable answer: its panel says so, the others are shown."""


@dataclass(frozen=True)
class Sample:
    """The labels of a time series and its points."""

    labels: Mapping[str, str]
    points: Points


class Source:
    """Calls the configured address over HTTP, with a bearer token if one is given; redirects are not followed."""

    def __init__(self, url: str, clock: Callable[[], datetime], token: SecretStr | None = None) -> None:
        self.configured = bool(url)
        self._http = client(url.rstrip("/"), TIMEOUT) if url else None
        self._headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
        self._clock = clock
        self._paused_until = clock()

    def get_json(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of an answer; raises `SourceError`."""
        response = self.request("GET", path, params=parameters)
        if not response.is_success:
            raise SourceError(f"HTTP {response.status_code}")
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError) as error:
            raise SourceError("no JSON") from error

    def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Return an answer of any status; raises `SourceError`."""
        if self._http is None:
            raise SourceError("not configured")
        if self._clock() < self._paused_until:
            raise SourceError("it did not answer a moment ago")
        try:
            headers = self._headers | content.pop("headers", {})
            response = call(self._http, method, path, headers=headers, **content)
        except httpx.HTTPError as error:
            self._paused_until = self._clock() + PAUSE
            raise SourceError(type(error).__name__) from error
        return httpx.Response(response.status, content=response.content, request=httpx.Request(method, path))

    def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.close()


class _InstantSeries(BaseModel):
    metric: dict[str, str]
    value: _Point


class _RangedSeries(BaseModel):
    metric: dict[str, str]
    values: list[_Point]


_SeriesT = TypeVar("_SeriesT", _InstantSeries, _RangedSeries)
_INSTANT, _RANGED = TypeAdapter(list[_InstantSeries]), TypeAdapter(list[_RangedSeries])


class Prometheus:
    """Prometheus's HTTP API, queried in PromQL."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def configured(self) -> bool:
        """Whether an address is set."""
        return self._source.configured

    def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> list[Sample]:
        """Return the time series of a range; raises `SourceError`."""
        span = {"start": start.timestamp(), "end": end.timestamp(), "step": step.total_seconds()}
        most = int((end - start) / step) + 1
        found = self._result(_RANGED, "/api/v1/query_range", query=query, **span)
        return [Sample(each.metric, each.values[-most:]) for each in found]

    def query(self, query: str, at: datetime) -> list[Sample]:
        """Return the time series at one moment, each with one point; raises `SourceError`."""
        found = self._result(_INSTANT, "/api/v1/query", query=query, time=at.timestamp())
        return [Sample(each.metric, [each.value]) for each in found]

    def _result(self, form: TypeAdapter[list[_SeriesT]], path: str, **parameters: Any) -> list[_SeriesT]:
        answer = self._source.get_json(path, **parameters)
        try:
            return form.validate_python(answer["data"]["result"])
        except (KeyError, TypeError, ValidationError) as error:
            raise SourceError("not Prometheus's answer") from error


_CHECKS = TypeAdapter(list[DataCheck])


@dataclass(frozen=True)
class Version:
    """A model version with its metrics and the results of its data checks."""

    version: str
    created_at: datetime
    metrics: Mapping[str, float]
    checks: Sequence[DataCheck] = ()


class Registry:
    """Versions and deployments of one model. Manifests never change, so each is fetched once."""

    def __init__(self, source: Source, model: str) -> None:
        self._source = source
        self._client = RegistryClient(source.request, model)
        self._manifests: dict[str, Mapping[str, Any]] = {}

    @property
    def configured(self) -> bool:
        """Whether an address is set."""
        return self._source.configured

    def deployments(self) -> list[DeploymentRecord]:
        """Return the history, newest first; raises `SourceError`."""
        with _source_errors():
            return self._client.history().deployments

    def rollouts(self) -> list[RolloutRecord]:
        """Return the latest rollouts, newest first; a registry of an earlier release has none. Raises `SourceError`."""
        with _source_errors():
            try:
                return self._client.rollouts()
            except RegistryRejectedError as error:
                if error.status == httpx.codes.NOT_FOUND:
                    return []
                raise

    def versions(self, most: int = VERSIONS_SHOWN) -> list[Version]:
        """Return the newest versions, oldest first; raises `SourceError`."""
        with _source_errors():
            return [self._version(each) for each in reversed(self._listed()[:most])]

    def _listed(self) -> list[VersionReceipt]:
        try:
            return self._client.newest_versions().versions
        except RegistryRejectedError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return []
            raise

    def _version(self, listed: VersionReceipt) -> Version:
        manifest = self._manifest(listed.version)
        checks = _CHECKS.validate_python(manifest.get("data_checks") or [])
        return Version(listed.version, listed.created_at, _metrics(manifest.get("metrics")), checks)

    def _manifest(self, version: str) -> Mapping[str, Any]:
        if version not in self._manifests:
            self._manifests[version] = self._client.version(version).manifest
        return self._manifests[version]


def _metrics(found: Any) -> dict[str, float]:
    """Return the numbers of a manifest's metrics: whoever trains may write anything there."""
    if not isinstance(found, dict):
        return {}
    # A boolean is an int, too.
    numbers = {name: value for name, value in found.items() if type(value) in (int, float)}
    return {name: float(value) for name, value in numbers.items() if abs(value) <= MAX_FIGURE}


@contextmanager
def _source_errors() -> Iterator[None]:
    """Let errors of the registry's client be those of a source."""
    try:
        yield
    except RegistryRejectedError as error:
        raise SourceError(f"HTTP {error.status}") from error
    except (RegistryAnswerError, ValidationError) as error:
        raise SourceError("not the registry's answer") from error

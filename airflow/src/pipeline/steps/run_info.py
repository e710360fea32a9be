"""What a run is: its id, the moment that its data stands at, and whether it ends in a deployment."""

import hashlib
import re
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from pipeline.artifacts import join, read_file, write_file
from pipeline.errors import InputError, PipelineError

FILE = "run.json"
# Shorter than the version of a bundle or a snapshot (64), because a bundle's version adds the hash of its content.
MAX_CHARS = 48
_RUN_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_CHARS - 1}}}")
_HASH_CHARS = 10
_BY_TIME = "%Y%m%dT%H%M%S%fZ"
REFRESH_PREFIX = "refresh-"
RunKind = Literal["training", "refresh"]


class RunInfo(BaseModel):
    """`run.json` of a run. Rows after `as_of` do not enter, and bundle and snapshot say that they are as of then.

    `started_at` is the time of the clock when the run began or was last continued: what lies after it is in the future.
    With `publish` the run deploys its model. A run of the kind refresh trains nothing: it renews the statistics and
    lists of the model in service. With `full_extraction` all days are read from the databases.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    as_of: AwareDatetime
    started_at: AwareDatetime
    publish: bool = True
    kind: RunKind = "training"
    full_extraction: bool = False


def check_run_id(text: str) -> str:
    """Return a text that is a run id; raises `InputError`."""
    if _RUN_ID.fullmatch(text) is None:
        raise InputError(
            f"run id {text[:100]!r}: write 1 to {MAX_CHARS} letters, digits, '.', '_' and '-' (ASCII), "
            "the first of them a letter or a digit"
        )
    return text


def to_run_id(text: str) -> str:
    """Return a text as a run id. If it has to be changed, a hash of it is appended, so that different ones differ."""
    if _RUN_ID.fullmatch(text) is not None:
        return text
    spelled = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-._")[: MAX_CHARS - 1 - _HASH_CHARS]
    hashed = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    return f"{spelled}-{hashed}" if spelled else hashed


def time_run_id(now: datetime) -> str:
    """Return the id of a run that starts now and has no other id."""
    return now.strftime(_BY_TIME)


def refresh_run_id(text: str) -> str:
    """Return the id of a refresh, which can be told from that of a training: `refresh-` and the text, as a run id."""
    return to_run_id(text if text.startswith(REFRESH_PREFIX) else f"{REFRESH_PREFIX}{text}")


def time_of_run_id(run_id: str) -> datetime | None:
    """Return the start of a run that `time_run_id` named, None for another id."""
    try:
        return datetime.strptime(run_id, _BY_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def write_run_info(run: str, info: RunInfo) -> None:
    """Write `run.json`; the run exists from then on."""
    write_file(join(run, FILE), info.model_dump_json(indent=1).encode())


def load_run_info(run: str) -> RunInfo:
    """Read `run.json`; raises `PipelineError` if there is none, because no run of this id has begun."""
    info = find_run_info(run)
    if info is None:
        raise PipelineError(f"{join(run, FILE)}: missing; a run begins with this file")
    return info


def is_refresh(run: str) -> bool:
    """Return whether a run is a refresh; one that cannot be read, or of an earlier release, is none."""
    try:
        info = find_run_info(run)
    except PipelineError:
        return False
    return info is not None and info.kind == "refresh"


def find_run_info(run: str) -> RunInfo | None:
    """Read `run.json`; None for a run of an earlier release, or if there is no such run."""
    data = read_file(join(run, FILE))
    try:
        return None if data is None else RunInfo.model_validate_json(data)
    except ValidationError as error:
        raise PipelineError(f"{join(run, FILE)}: {error.errors()[0]['msg']}") from error

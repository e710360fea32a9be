"""Why no model is in service, how long that is tolerated before it is reported, and the text that callers get."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["no_model", "model_missing", "model_not_loaded", "registry_unreachable", "starting"]

# At the very first start the operator has still to deploy a model. After this time the operator has probably forgotten
# it.
NO_MODEL_SECONDS = 600.0
# The services of a stack start in any order, and the registry migrates its database first.
REGISTRY_SECONDS = 180.0
# Time for a first bundle of hundreds of megabytes, and for compiling the loops of ranking on a busy core.
LOADING_SECONDS = 120.0

_NEXT_STEPS = "`make import SOURCE=csv DIR=<folder>` loads your data, `make train` trains and deploys a model."


@dataclass(frozen=True)
class ModelState:
    """The state of the model that this process should serve."""

    is_serving: bool
    # Whether an earlier process of this replica served a model.
    had_model: bool
    # Whether the registry has answered since the start, and whether it named an active deployment.
    registry_answered: bool = False
    is_deployed: bool = False
    registry_error: str | None = None
    activation_error: str | None = None
    # Whether a failed activation has been retried.
    activation_retried: bool = False


@dataclass(frozen=True)
class ModelStatus:
    """Why no query can be answered. It is reported after `grace_seconds`; `detail` is for callers.

    If `may_pass`, the next attempt, a second away, may succeed: it is not an outage until a caller gets no answer.
    """

    reason: Reason
    grace_seconds: float
    detail: str
    may_pass: bool = False


def model_status(state: ModelState) -> ModelStatus | None:
    """Return why no model is in service, None while one is."""
    if state.is_serving:
        return None
    if state.activation_error is not None:
        detail = f"The deployed model can't be loaded: {state.activation_error}"
        return ModelStatus("model_not_loaded", 0.0, detail, may_pass=not state.activation_retried)
    if state.registry_error is not None:
        grace = 0.0 if state.had_model else REGISTRY_SECONDS
        detail = f"No model is loaded, and none can be fetched from the model registry: {state.registry_error}"
        return ModelStatus("registry_unreachable", grace, detail)
    if state.is_deployed or not state.registry_answered:
        return ModelStatus("starting", LOADING_SECONDS, "The model is being loaded; retry after Retry-After seconds.")
    if state.had_model:
        detail = f"The previously served model is no longer deployed. Deploy a version, or train: {_NEXT_STEPS}"
        return ModelStatus("model_missing", 0.0, detail)
    return ModelStatus("no_model", NO_MODEL_SECONDS, f"No model has been deployed yet. {_NEXT_STEPS}")

"""Why no model is in service, how long that may be so before it is reported, and what a caller is told."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["no_model", "model_missing", "model_not_loaded", "registry_unreachable", "starting"]

# A first start without any model waits for its operator; later than this, the operator has forgotten it.
NO_MODEL_SECONDS = 600.0
# The services of a stack start in any order, and the registry migrates its database first.
REGISTRY_SECONDS = 180.0
# A first bundle of hundreds of megabytes, and compiling the loops of ranking on a busy core.
LOADING_SECONDS = 120.0

_NEXT_STEPS = "`make import SOURCE=csv DIR=<folder>` loads your data, `make train` trains and deploys a model."


@dataclass(frozen=True)
class ModelState:
    """What the process knows about the model that it should serve."""

    is_serving: bool
    # Whether an earlier process of this replica served a model.
    had_model: bool
    # Whether the registry has answered since the start, and with an active deployment.
    registry_answered: bool = False
    is_deployed: bool = False
    registry_error: str | None = None
    activation_error: str | None = None
    # Whether what failed was tried once more.
    activation_retried: bool = False


@dataclass(frozen=True)
class ModelStatus:
    """Why nothing can be answered: `grace_seconds` may pass before it is reported; `detail` is for callers.

    What `may_pass` with the next attempt, a second away, is no outage before somebody gets no answer.
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
        detail = f"No model is loaded, and the model registry gives none: {state.registry_error}"
        return ModelStatus("registry_unreachable", grace, detail)
    if state.is_deployed or not state.registry_answered:
        return ModelStatus(
            "starting", LOADING_SECONDS, "The model is being loaded; ask again after Retry-After seconds."
        )
    if state.had_model:
        detail = f"The model that was served is not deployed any more. Deploy a version, or train: {_NEXT_STEPS}"
        return ModelStatus("model_missing", 0.0, detail)
    return ModelStatus("no_model", NO_MODEL_SECONDS, f"No model has been deployed yet. {_NEXT_STEPS}")

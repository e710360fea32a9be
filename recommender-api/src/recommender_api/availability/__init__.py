"""Whether questions can be answered at all: an outage of all answers is reported, and so is its end."""

from recommender_api.availability.failures import EndpointFailures
from recommender_api.availability.model_state import ModelState, ModelStatus
from recommender_api.availability.watch import AvailabilityWatch

__all__ = ["AvailabilityWatch", "EndpointFailures", "ModelState", "ModelStatus"]

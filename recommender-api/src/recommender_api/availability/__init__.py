"""Availability: reports when no query can be answered, and when answers are back."""

from recommender_api.availability.failures import EndpointFailures
from recommender_api.availability.model_state import ModelState, ModelStatus
from recommender_api.availability.watch import AvailabilityWatch

__all__ = ["AvailabilityWatch", "EndpointFailures", "ModelState", "ModelStatus"]

"""Overload protection: above its capacity the service rejects requests at once and answers the others in time."""

from recommender_api.overload.admission import Admission
from recommender_api.overload.gate import Gate
from recommender_api.overload.shedding import Shedding

__all__ = ["Admission", "Gate", "Shedding"]

"""Past its capacity the service refuses at once what it could only answer late, and answers the rest as ever."""

from recommender_api.overload.admission import Admission
from recommender_api.overload.gate import Gate
from recommender_api.overload.shedding import Shedding

__all__ = ["Admission", "Gate", "Shedding"]

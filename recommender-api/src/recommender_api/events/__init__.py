"""Behaviour events: accepted only once they are durable, in the Redis Stream or in a local journal that is replayed."""

from recommender_api.events.intake import EventIntake
from recommender_api.events.journal import Journal

__all__ = ["EventIntake", "Journal"]

"""Rollouts are decided right in simulations, and by the sums of a real feature-sync."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from feature_sync.app import create_app
from feature_sync.events.tables import SCHEMA
from feature_sync.outcomes.tables import outcome_hours
from feature_sync.settings import Settings
from model_registry.rollouts.decision import Decision
from model_registry.rollouts.outcomes import FeatureSyncOutcomes, OutcomesUnavailableError
from model_registry.rollouts.sequential_test import Arm, Stratum
from prove.rollout import BUSY, EQUAL, HALF, QUIET, TOO_MUCH_WORSE, simulate
from servicekit.database import open_database
from testkit.serving import Served

TOKEN = "the-admin-token"


@pytest.mark.parametrize(
    ("effect", "answers", "decision"),
    [
        (HALF, BUSY, Decision.ROLL_BACK),
        (TOO_MUCH_WORSE, BUSY, Decision.ROLL_BACK),
        (EQUAL, BUSY, Decision.GO_ON),
        (HALF, QUIET, Decision.HOLD),
        (EQUAL, QUIET, Decision.HOLD),
    ],
    ids=["half the clicks", "12 % fewer", "equal", "half, little traffic", "equal, little traffic"],
)
def test_simulated_rollouts_end_as_they_should(effect: float, answers: float, decision: Decision) -> None:
    """The seeds are of runs without a false alarm; `make prove ONLY=rollout` counts those."""
    endings = [simulate(effect, answers, seed) for seed in (1, 2, 3)]
    assert [each.decision for each in endings] == [decision] * 3, endings
    if effect == HALF:
        assert {each.percent for each in endings} == {5}


def test_the_sums_of_a_real_feature_sync_are_those_of_the_canary_and_its_control(
    redis_url: str, postgres_url: str
) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    settings = Settings(
        redis_url=SecretStr(redis_url), database_url=SecretStr(postgres_url), admin_token=SecretStr(TOKEN)
    )
    rows = [
        ("2", "canary", "/recommend/user", 0, 0, 100, 5),
        ("2", "canary", "/similar", 3, 0, 50, 1),
        ("2", "canary", "/similar", 3, 2, 1000, 900),
        ("1", "control", "/recommend/user", 0, 0, 900, 40),
        ("1", "primary", "/recommend/user", 0, 0, 700, 700),
        ("3", "canary", "/recommend/user", 0, 0, 300, 300),
    ]
    with Served(create_app(settings)) as served:
        engine = open_database(postgres_url, SCHEMA)
        with engine.begin() as connection:
            for version, variant, endpoint, position, hours_ago, exposures, clicks in rows:
                values = {
                    "ts": now - timedelta(hours=hours_ago),
                    "model_version": version,
                    "variant": variant,
                    "endpoint": endpoint,
                    "position": position,
                    "exposures": exposures,
                    "clicks": clicks,
                    "favorites": 0,
                    "purchases": 0,
                }
                connection.execute(sa.insert(outcome_hours).values(values))
        engine.dispose()
        outcomes = FeatureSyncOutcomes(served.url, SecretStr(TOKEN))
        assert outcomes.read("2", now) == Stratum(Arm(150, 6), Arm(900, 40))
        outcomes.close()
        stranger = FeatureSyncOutcomes(served.url, None)
        with pytest.raises(OutcomesUnavailableError, match="401"):
            stranger.read("2", now)
        stranger.close()
    gone = FeatureSyncOutcomes(served.url, SecretStr(TOKEN))
    with pytest.raises(OutcomesUnavailableError):
        gone.read("2", now)
    gone.close()

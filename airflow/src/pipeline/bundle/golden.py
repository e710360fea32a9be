"""Golden requests: a dozen requests of every kind, with the answers of their bundle."""

import numpy as np

from pipeline.records import Records
from ranking.engine import Engine
from ranking.golden import GoldenRequest
from ranking.verification import answer

_OF_EACH_KIND = 4
_ANSWERS = 10
_HISTORY = 30


def golden_requests(engine: Engine, records: Records, seed: int) -> list[GoldenRequest]:
    """Return requests for datasets, users, both and neither, with their answers."""
    rng = np.random.default_rng(seed)
    datasets = rng.choice(records.catalogue.ids, 2 * _OF_EACH_KIND).tolist()
    active = np.unique(records.user)
    users = [_user(records, int(user)) for user in rng.choice(active, 2 * _OF_EACH_KIND)]
    requests = [
        *({"dataset_id": dataset} for dataset in datasets[:_OF_EACH_KIND]),
        *users[:_OF_EACH_KIND],
        *(
            {"dataset_id": dataset} | user
            for dataset, user in zip(datasets[_OF_EACH_KIND:], users[_OF_EACH_KIND:], strict=True)
        ),
        {},
    ]
    return [_record_answer(engine, fields) for fields in requests]


def _user(records: Records, user: int) -> dict[str, object]:
    rows = records.rows_of(user)
    history = records.history(rows)
    features = records.features_of(user, rows)
    return {
        "at": records.end,
        "user_features": features.tolist(),
        "history_ids": history.ids[:_HISTORY].tolist(),
        "history_ts": history.ts[:_HISTORY].tolist(),
        "history_types": history.types[:_HISTORY].tolist(),
    }


def _record_answer(engine: Engine, fields: dict[str, object]) -> GoldenRequest:
    request = GoldenRequest.model_validate({**fields, "expected_ids": [], "expected_scores": []})
    ids, scores = answer(engine, request, _ANSWERS)
    return request.model_copy(update={"expected_ids": ids, "expected_scores": scores})

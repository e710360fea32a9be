"""A fixed piece of work: what else runs on a machine changes the CPU time that the same work takes."""

import json
import time

_ROUNDS = 100
_DOCUMENT = {
    "items": [{"dataset_id": each, "score": each / 7, "title": f"{each}", "reasons": ["trend"]} for each in range(50)]
}


def fixed_work() -> float:
    """Do the work; return its CPU time (s), about a hundredth."""
    began = time.thread_time()
    for _ in range(_ROUNDS):
        json.loads(json.dumps(_DOCUMENT))
    return time.thread_time() - began

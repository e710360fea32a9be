"""The loops of a query are compiled when a model is loaded, not during the first query of its kind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ranking import cpus, jit

# In a process of its own: other tests have had these loops compiled for other arguments.
_PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from contracts.user_blob import History, LiveHistory, PackedHistory, UserBlob
from ranking import json_items
from ranking.bundle import load
from ranking.engine import Engine, RankingQuery
from ranking.precompiled import loops
from ranking.testing import tiny_bundle
from ranking.verification import verify
from numba.types import BaseNamedTuple

def compiled():
    return {name: len(loop.signatures) for name, loop in loops().items()}

engine = Engine(load(tiny_bundle(Path(sys.argv[1]))))
assert verify(engine)
json_items.compile_json_items()
before, behind = json_items.BytesTable(len(engine.contents.catalogue)), json_items.BytesTable(32)
after_loading = compiled()

ids = engine.contents.catalogue.ids[:5].copy()
history = History(ids, np.arange(5, 0, -1, dtype=np.int64), np.ones(5, np.uint8))
_, live = LiveHistory.opened(LiveHistory(1, history).pack())
known, long_term = UserBlob.opened(UserBlob(np.ones(8, np.float32), history).pack())
of_first_release, _ = UserBlob.opened(UserBlob(np.ones(3, np.float32), history).pack())
states = [
    (None, PackedHistory(), PackedHistory()),
    (known, long_term, PackedHistory()),
    (known, long_term, live),
    (of_first_release, long_term, live),
]
for state in states:
    for anchor, at in ((None, 0), (1, 1_767_225_600)):
        done = engine.rank_fused(*state, anchor=anchor, limit=10, at=at)
        assert done is not None
        json_items.json_items(done.best.items, done.best.codes, done.best.scores, before, behind)
        question = RankingQuery(anchor, engine.user(*state, at))
        engine.rank(question, engine.recall(question, at_least=10), 10)
assert compiled() == after_loading, (after_loading, compiled())

def has_named_tuple(kind):
    return isinstance(kind, BaseNamedTuple) or any(map(has_named_tuple, getattr(kind, "types", ())))

for name in ("engine._recall_and_rank", "engine._rank_candidates", "recall.propose_candidates", "user.decode_user"):
    for signature in loops()[f"ranking.{name}"].signatures:
        assert not any(map(has_named_tuple, signature)), (name, signature)
print(sum(after_loading.values()))
"""


def test_loading_a_model_compiles_everything_that_its_queries_run_for_types_that_numba_finds_fast(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 0


def test_cached_code_is_compiled_again_after_a_change_of_code_that_it_calls(tmp_path: Path) -> None:
    package = tmp_path / "ranking"
    package.mkdir()
    (package / "__init__.py").touch()
    for module in (cpus, jit):
        shutil.copy(str(module.__file__), package)
    begin = "from ranking.jit import compiled\n"
    calls = f"{begin}from ranking.called import called\n\n@compiled\ndef calls():\n    return called()\n"
    (package / "calls.py").write_text(calls)
    for answer in (1, 2):
        (package / "called.py").write_text(f"{begin}\n@compiled\ndef called():\n    return {answer}\n")
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", "from ranking.calls import calls; print(calls(), dict(calls.stats.cache_hits))"],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert done.stdout.startswith(f"{answer} ")
        assert done.stdout != f"{answer} {{}}\n", "the second process found it"

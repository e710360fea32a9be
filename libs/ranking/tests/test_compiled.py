"""What a question runs is compiled when a model is loaded, not in the middle of the first question of its kind."""

import subprocess
import sys
from pathlib import Path

# In a process of its own: other tests have had these loops compiled for anything.
_PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from contracts.user_blob import History, LiveHistory, UserBlob
from ranking import diversity, engine as engines, features, forest, recall, user
from ranking.bundle import load
from ranking.engine import Engine, Question
from ranking.testing import tiny_bundle
from ranking.verification import verify

def compiled():
    modules = (diversity, engines, features, forest, recall, user)
    found = (value for module in modules for value in vars(module).values())
    return {loop.__name__: len(loop.signatures) for loop in found if hasattr(loop, "signatures")}

engine = Engine(load(tiny_bundle(Path(sys.argv[1]))))
assert verify(engine)
after_loading = compiled()

ids = engine.contents.catalogue.ids[:5].copy()
history = History(ids, np.arange(5, 0, -1, dtype=np.int64), np.ones(5, np.uint8))
known, long_term = UserBlob.opened(UserBlob(np.ones(3, np.float32), history).pack())
_, live = LiveHistory.opened(LiveHistory(1, history).pack())
for asker in (engine.user(None, History()), engine.packed_user(known, long_term),
              engine.packed_user(known, long_term, live)):
    for anchor in (None, 1):
        question = Question(anchor, asker)
        engine.rank(question, engine.recall(question, at_least=10), 10)
assert compiled() == after_loading, (after_loading, compiled())
print(sum(after_loading.values()))
"""


def test_loading_a_model_compiles_all_that_its_questions_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 0

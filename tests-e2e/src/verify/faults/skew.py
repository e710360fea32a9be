"""An answer was ranked with other features than the code computes: the nightly comparison finds it."""

import json
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from contracts.bundle import unpack
from contracts.checksums import sha256_of
from contracts.served_features import ServedVectors
from contracts.user_blob import PackedHistory
from ranking.bundle import load
from ranking.engine import Engine
from ranking.testing import tiny_archive
from verify.fault_lab import FaultLab, FaultNotFiredError
from verify.faults.fault import Fault, Raised

_ITEMS = 10
# The columns that the comparison reads of feature-sync's tables.
_TABLES = """
CREATE TABLE served_features (served_id, request_id, ts, user_id, dataset_id, max_items, model_version, bundle_sha256,
    snapshot, vectors);
CREATE TABLE snapshot_activations (version, activated_at);
CREATE TABLE behavior_events (event_id, user_id, dataset_id, type, ts, received_at);
"""


def fire(shop: FaultLab) -> None:
    """See the package."""
    bundle = shop.folder / "skew" / "runs" / "verify" / "bundle"
    bundle.mkdir(parents=True)
    archive = tiny_archive(bundle / "bundle.tar.gz")
    digest = sha256_of(archive)
    listed = {"files": {archive.name: {"bytes": archive.stat().st_size, "sha256": digest}}}
    bundle.with_name("bundle.files.json").write_text(json.dumps(listed), encoding="utf-8")
    asked = datetime.now(UTC) - timedelta(hours=1)
    vectors = _served(archive, shop.folder / "skew" / "contents", int(asked.timestamp()))
    database = shop.folder / "skew" / "recsys.db"
    with closing(sqlite3.connect(f"{database}.events")) as connection, connection:
        connection.executescript(_TABLES)
        row = ("srv-1", "verify-1", f"{asked:%Y-%m-%d %H:%M:%S.%f}", 7, None, _ITEMS, "1", digest, None, vectors)
        connection.execute("INSERT INTO served_features VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    variables = {"DATABASE_URL": f"sqlite:///{database}", "ARTIFACT_URL": str(shop.folder / "skew")}
    said = shop.command([sys.executable, "-m", "pipeline", "skew"], variables)
    if "1 code" not in said:
        raise FaultNotFiredError(f"no difference was found: {said}")


def _served(archive: Path, folder: Path, at: int) -> bytes:
    """Return what an answer was ranked with, one feature of which another release computed."""
    folder.mkdir()
    unpack(archive, folder)
    nothing = PackedHistory()
    done = Engine(load(folder)).rank_fused(None, nothing, nothing, anchor=None, limit=_ITEMS, at=at)
    if done is None:
        raise FaultNotFiredError("the bundle has too few candidates")
    matrix = done.considered.copy()
    matrix[:, 0] += np.float32(1)
    best = done.best
    return ServedVectors(done.items, matrix, best.items, best.scores, np.empty(0, np.int32), b"").pack()


FAULT = Fault("skew", {"pipeline.feature_skew": Raised("pipeline")}, fire)

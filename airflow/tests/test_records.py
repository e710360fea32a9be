"""The records that all steps after the quality step work on."""

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ordered_rows import write_ordered_rows
from pipeline.records import Records
from pipeline.relational import LocalEngine


def test_exposures_do_not_push_interest_out_of_a_history(clean_folder: Path, records: Records, tmp_path: Path) -> None:
    folder = tmp_path / "clean"
    shutil.copytree(clean_folder, folder)
    path = folder / "interactions.parquet"
    table = pq.read_table(path)
    last = table.sort_by("ts").slice(len(table) - 1).to_pylist()[0]
    shown = [
        last | {"type": "exposure", "dataset_id": int(id_), "ts": last["ts"] + timedelta(seconds=1)}
        for id_ in records.catalogue.ids[:250]
    ]
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist(shown, table.schema)]), path)
    write_ordered_rows(LocalEngine(folder), folder)
    user = int(np.searchsorted(records.user_ids, last["user_id"]))
    with_exposures = Records.load(folder)
    before, after = (found.history(found.rows_of(user)) for found in (records, with_exposures))
    assert before.pack() == after.pack()
    assert with_exposures.end == records.end

"""The data that a search may see: that of a run, without what the evaluation tests on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import is_complete, join
from pipeline.config import PipelineConfig
from pipeline.errors import PipelineError
from pipeline.evaluate.split import five_core, global_split
from pipeline.recall import content_neighbours, own_neighbours
from pipeline.records import Records
from pipeline.steps.columns import load_declared
from pipeline.steps.data import load_items, load_own_vectors, load_records
from pipeline.train.model import last_pairs
from ranking.features import ItemTable
from ranking.recall import Neighbours


class Source(NamedTuple):
    """Interactions, and what is known of the datasets; `vector` are neighbours by own vectors, if there are some.

    `own_features` are the names of the declared columns.
    """

    records: Records
    items: ItemTable
    content: Neighbours
    vector: Neighbours | None
    own_features: tuple[str, ...]


def load_source(run: str, config: PipelineConfig, seed: int) -> Source:
    """Read the data of a run whose step `features` is done, with the columns of the configuration.

    Raises `PipelineError` for another.
    """
    for name in ("clean", "features"):
        if not is_complete(join(run, name)):
            raise PipelineError(
                f"{join(run, name)}: missing or damaged; continue the run by `python -m pipeline run --resume`, or "
                "search on another one by --run-id"
            )
    columns = load_declared(run)
    if columns.without_categories() != config.columns.declared():
        raise PipelineError(
            f"{run}: made with other columns than those in PIPELINE_CONFIG; set the file of this run, or begin a run "
            "with the current one"
        )
    items, own = load_items(run).table, load_own_vectors(run)
    return Source(
        without_tests(load_records(run), seed),
        items,
        content_neighbours(items.content),
        None if own is None else own_neighbours(own),
        columns.names,
    )


def without_tests(records: Records, seed: int) -> Records:
    """Return the records without the test interactions of the evaluation's protocols.

    These are the newest 20 %, and each user's last dataset. What is chosen here would be flattered by them.
    """
    core, kept = five_core(records)
    if not len(core):
        return records
    held = last_pairs(core, 1, least_before=1, seed=seed)
    tested = np.isin(
        _pairs(records, records.user, records.item), _pairs(records, core.user[held], kept[core.item[held]])
    )
    return records.only((records.ts < global_split(core).cut) & ~tested)


def _pairs(records: Records, user: NDArray[np.int32], item: NDArray[np.integer]) -> NDArray[np.int64]:
    return user.astype(np.int64) * len(records.catalogue) + item

"""The step `extract` from PostgreSQL with a million interactions, as CSV and by the generic reading of rows.

All rows are read, as in the first night. Each extraction is a process of its own; both write the same bytes.
"""

import hashlib
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psycopg2

from bench.results import Goal, Result
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.demo import DemoSize, generate
from testkit.postgres import PostgresServer, running_server

_AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SIZE = DemoSize(datasets=5_000, users=50_000, interactions=1_000_000)
_ROUNDS = 3
# A server process counts when it has ended.
_END_SECONDS = 2.0
_EXTRACT = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from sqlalchemy import make_url
from business import Timeouts
from business.postgresql import PostgresqlDatabase
from pipeline.extract import AsOf, ExtractedStore, extract
class RowsOnly(PostgresqlDatabase):
    def csv_rows(self, *_, **__):
        return None
url, way, folder, as_of = sys.argv[1], sys.argv[2], Path(sys.argv[3]), datetime.fromisoformat(sys.argv[4])
began = time.process_time()
with {"rows": RowsOnly, "csv": PostgresqlDatabase}[way](make_url(url), Timeouts()) as business:
    store = ExtractedStore(str(folder / "store"), as_of, "code")
    extract(business, None, None, folder, as_of=AsOf(as_of, as_of), store=store)
status = Path("/proc/self/status").read_text()
print(time.process_time() - began, int(status.partition("VmHWM:")[2].split()[0]) * 1024)
"""


class _Cost(NamedTuple):
    client: float
    server: float
    memory: float


def measure(folder: Path) -> list[Result]:
    """Measure both ways in turns; the values are those of each way's cheapest round."""
    with running_server() as server:
        server.cluster.ensure_database("business")
        url = server.cluster.url("business")
        _fill(url)
        rounds = [
            {way: _extract(server, url, way, folder / f"{way}-{number}") for way in ("rows", "csv")}
            for number in range(_ROUNDS)
        ]
    rows, csv = (_cheapest([costs[way] for costs in rounds]) for way in ("rows", "csv"))
    ratio = (rows.client + rows.server) / (csv.client + csv.server)
    same = len({_content(path) for path in folder.iterdir()})
    return [
        *_results("rows", rows),
        *_results("CSV", csv),
        Result("extraction: CPU of rows, in those of CSV", ratio, "×", Goal(least=1.5)),
        Result("extraction: different contents", same, "", Goal(most=1)),
    ]


def _fill(url: str) -> None:
    engine = open_engine(url, "BUSINESS_DATABASE_URL")
    replace_content(engine, generate(_SIZE, 42, _AS_OF))
    engine.dispose()
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        # Otherwise the first reader of a row also marks it as committed.
        cursor.execute("VACUUM ANALYZE")
    connection.close()


def _extract(server: PostgresServer, url: str, way: str, folder: Path) -> _Cost:
    folder.mkdir()
    before = server.cpu_seconds()
    command = [sys.executable, "-c", _EXTRACT, url, way, str(folder), _AS_OF.isoformat()]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    client, memory = map(float, printed.split())
    time.sleep(_END_SECONDS)
    return _Cost(client, server.cpu_seconds() - before, memory / 1e9)


def _cheapest(costs: Sequence[_Cost]) -> _Cost:
    return min(costs, key=lambda cost: cost.client + cost.server)


def _content(folder: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.parquet")))).hexdigest()


def _results(way: str, cost: _Cost) -> list[Result]:
    return [
        Result(f"extraction: {way}, CPU of the step", cost.client, "s"),
        Result(f"extraction: {way}, CPU of the server", cost.server, "s"),
        Result(f"extraction: {way}, memory of the step", cost.memory, "GB"),
    ]

"""A workbook with ten mistakes, saved as CSV in code page 936: one check names all; corrected, it is imported."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from bench.results import Goal, Result

PACKAGE = "libreoffice-calc-nogui"

_CONVERSION_SECONDS = 180
_PIPELINE_SECONDS = 120
# LibreOffice's numbers of encodings in its CSV filter.
_CODE_PAGE_936, _UTF_8 = 61, 76

Cell = str | float
Sheet = Sequence[Sequence[Cell]]

_DATASETS: Sheet = [
    ["id", "title", "tags", "price", "created_at"],
    [1, "北京公交刷卡", "交通;公交", 9.5, "2026-01-05"],
    [2, "上海地铁客流", "交通", "1,234.50", "2026-01-06"],
    [3, "气象观测", "气象", 1, 46000],
    [1234567890123456789, "土地利用", "国土", 2, "2026-01-07"],
    [5, "", "空气", 2, "2026-01-08"],
]
_INTERACTIONS: Sheet = [
    ["user_id", "dataset_id", "type", "ts"],
    ["u1", 1, "view", "2026-01-10T09:00:00+08:00"],
    ["u1", 2, "buy", "2026-01-10T09:05:00+08:00"],
    ["u2", 1, "view", 1768010700000],
    ["u2", 77, "view", "2026-01-10T09:15:00+08:00"],
]
# Added by hand: two files joined, and the output of a broken export.
_JOINED = b"id,title,tags,price,created_at\n"
_NUL = b"u\x003,1,view,2026-01-10T09:20:00+08:00\n"

# Where each mistake is reported, and the message.
SLIPS = {
    "encoding": "datasets.csv: not UTF-8 (line 2)",
    "thousands": "datasets.csv:3: price '1,234.50' is not a price",
    "number of days": "datasets.csv:4: created_at '46000' looks like a spreadsheet's number of days",
    "rounded id": "datasets.csv:5: id '1.23456789012346E+018' is not usable: a number with an exponent",
    "empty title": "datasets.csv:6: title '' is empty",
    "second header": "datasets.csv:7: repeats the header",
    "type": "interactions.csv:3: type 'buy' is none of",
    "milliseconds": "interactions.csv:4: ts '1768010700000' looks like Unix milliseconds",
    "unknown dataset": "interactions.csv:5: dataset_id '77' is not in datasets.csv",
    "NUL": r"interactions.csv:6: user_id 'u\x003' is not usable",
}


def prove(folder: Path, seed: int) -> list[Result]:
    """Return how many mistakes one check names, and the result after corrections; the seed isn't used."""
    del seed
    office = shutil.which("soffice")
    if office is None:
        return [Result(f"slips: LibreOffice (apt-get install {PACKAGE})", 0, "", Goal(least=1))]
    spoilt, mended = folder / "spoilt", folder / "mended"
    _save(office, spoilt, {"datasets": _DATASETS, "interactions": _INTERACTIONS}, _CODE_PAGE_936)
    with (spoilt / "datasets.csv").open("ab") as file:
        file.write(_JOINED)
    with (spoilt / "interactions.csv").open("ab") as file:
        file.write(_NUL)
    _save(office, mended, _mend(), _UTF_8)
    check, checked, imported = (
        _pipeline(folder, "check", str(spoilt)),
        _pipeline(folder, "check", str(mended)),
        _pipeline(folder, "import", "--source", "csv", "--dir", str(mended)),
    )
    named = [slip for slip, words in SLIPS.items() if words in check.stderr]
    if len(named) < len(SLIPS):
        sys.stderr.write(f"not named: {', '.join(SLIPS.keys() - set(named))}\n{check.stderr}")
    for result in (checked, imported):
        sys.stderr.write(result.stderr if result.returncode else "")
    faults = [line for line in check.stderr.splitlines() if line.startswith(("datasets.csv", "interactions.csv"))]
    return [
        Result("slips: mistakes named by one check", len(named), f"of {len(SLIPS)}", Goal(least=len(SLIPS))),
        Result("slips: other faults named", len(faults) - len(named), "", Goal(most=0)),
        Result("slips: exit code of the check", check.returncode, "", Goal(least=2, most=2)),
        Result("slips: exit code of the check after corrections", checked.returncode, "", Goal(most=0)),
        Result("slips: exit code of the import after corrections", imported.returncode, "", Goal(most=0)),
    ]


def _mend() -> dict[str, Sheet]:
    """Return the sheets after the corrections that the messages advise."""
    datasets = [list(row) for row in _DATASETS]
    datasets[2][3] = "1234.50"
    datasets[3][4] = "2025-12-09"
    datasets[4][0] = "1234567890123456789"
    datasets[5][1] = "空气质量"
    interactions = [list(row) for row in _INTERACTIONS]
    interactions[2][2] = "purchase"
    interactions[3][3] = 1768010700
    interactions[4][1] = 5
    return {"datasets": datasets, "interactions": interactions}


def _save(office: str, folder: Path, sheets: dict[str, Sheet], encoding: int) -> None:
    folder.mkdir()
    for name, rows in sheets.items():
        (folder / f"{name}.fods").write_text(_workbook(rows), encoding="utf-8")
    form = f"csv:Text - txt - csv (StarCalc):44,34,{encoding},1"
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    files = [str(folder / f"{name}.fods") for name in sheets]
    command = [office, profile, "--headless", "--convert-to", form, "--outdir", str(folder), *files]
    subprocess.run(command, check=True, capture_output=True, timeout=_CONVERSION_SECONDS)


def _workbook(rows: Sheet) -> str:
    """Return a flat OpenDocument spreadsheet."""
    body = "".join(f"<table:table-row>{''.join(map(_cell, row))}</table:table-row>" for row in rows)
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document {spaces} office:version="1.2" '
        'office:mimetype="application/vnd.oasis.opendocument.spreadsheet"><office:body><office:spreadsheet>'
        f'<table:table table:name="Sheet1">{body}</table:table>'
        "</office:spreadsheet></office:body></office:document>"
    )


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        text = f"<text:p>{escape(value)}</text:p>" if value else ""
        return f'<table:table-cell office:value-type="string">{text}</table:table-cell>'
    return f'<table:table-cell office:value-type="float" office:value="{value}"/>'


def _pipeline(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_TOKEN", "_DSN", "_DIR"))}
    settings = {"BUSINESS_DATABASE_URL": f"sqlite:///{folder / 'business.db'}", "ENCODING": "", "TIMEZONE": ""}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env=kept | settings,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_PIPELINE_SECONDS,
        check=False,
    )

"""Bundles that were made to hurt who reads them: archives, manifests and contents, each by a name of its own."""

import gzip
import json
import random
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from contracts.bundle import pack, read_manifest, write_manifest

_END = bytes(1024)
_FUZZED = ("items.parquet", "content.npy", "provider.npy", "behavior_items.npy", "golden.json", "recall.json")
_FUZZES = 6

Content = Callable[[Path], None]


def write_hostile_bundles(valid: Path, folder: Path, seed: int) -> Iterator[tuple[str, Path]]:
    """Yield name and archive of each hostile bundle, made in `folder` of the `valid` unpacked one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _archives(valid).items():
        archive = folder / f"{len(list(folder.iterdir()))}.tar.gz"
        archive.write_bytes(content)
        yield f"archive: {name}", archive
    for name, change in {**_contents(), **_rankers(), **_fuzzed(random.Random(seed))}.items():
        changed, archive = folder / "changed", folder / f"{len(list(folder.iterdir()))}.tar.gz"
        shutil.copytree(valid, changed)
        change(changed)
        if (changed / "manifest.json").is_file() and not name.startswith("manifest"):
            # The checksums are right: the content itself is at fault.
            write_manifest(changed, read_manifest(changed))
        pack(changed, archive)
        shutil.rmtree(changed)
        yield name, archive


def tar_entry(name: str, content: bytes = b"", kind: bytes = b"0", size: int | None = None) -> bytes:
    """Return one entry of a tar archive; `size` is what its header declares."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, len(content) if size is None else size
    return entry.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def pax_record(key: bytes, value: bytes) -> bytes:
    """Return one record of a PAX header."""
    length = len(key) + len(value) + 3
    length += len(str(length + len(str(length))))
    return b"%d %b=%b\n" % (length, key, value)


def _archives(valid: Path) -> dict[str, bytes]:
    good = b"".join(tar_entry(path.name, path.read_bytes()) for path in sorted(valid.iterdir()))
    sparse = pax_record(b"GNU.sparse.major", b"1") + pax_record(b"GNU.sparse.realsize", b"%d" % 2**31)
    tars = {
        "nothing": b"",
        "a pickle beside": good + tar_entry("evil.pkl", b"x") + _END,
        "a file twice": good + tar_entry("ranker.txt", b"x") + _END,
        "a path outside": good + tar_entry("../evil", b"x") + _END,
        "an absolute path": good + tar_entry("/tmp/evil", b"x") + _END,
        "a symbolic link": good + tar_entry("ranker.txt", kind=b"2") + _END,
        "a hard link": good + tar_entry("ranker.txt", kind=b"1") + _END,
        "a device": good + tar_entry("ranker.txt", kind=b"3") + _END,
        "a pipe": good + tar_entry("ranker.txt", kind=b"6") + _END,
        "a folder": good + tar_entry("deeper/", kind=b"5") + _END,
        "a sparse file of GNU": tar_entry("content.npy", bytes(512), kind=b"S") + _END,
        "a sparse file of PAX": tar_entry("x", sparse, kind=b"x") + tar_entry("content.npy", b"x") + _END,
        "a long name": tar_entry("x", b"a" * 2**20, kind=b"L") + tar_entry("ranker.txt") + _END,
        "a header bomb": tar_entry("x", pax_record(b"comment", b"a" * 2**20), kind=b"x") + good + _END,
        "many small headers": tar_entry("x", pax_record(b"a", b"b"), kind=b"x") * 3000 + good + _END,
        "a header without an end": tar_entry("x", b"a" * 512, kind=b"x", size=2**31),
        "a global header": tar_entry("x", pax_record(b"path", b"ranker.txt"), kind=b"g") + good + _END,
        "a size of 2 GiB": tar_entry("content.npy", size=2**31) + bytes(2**20),
        "a size of 16 GiB": tar_entry("content.npy", size=2**34) + bytes(2**20),
        "a negative size": _with_field(tar_entry("content.npy"), 124, b"-0000000001\0"),
        "a wrong checksum of a header": _with_field(tar_entry("ranker.txt"), 148, b"0000000\0") + _END,
        "no magic": _with_field(tar_entry("ranker.txt"), 257, bytes(8)) + _END,
        "no end": good,
        "more after the end": good + _END + b"more",
        "another archive after the end": good + _END + good + _END,
        "a bomb of zeros": tar_entry("content.npy", size=2**30) + bytes(2**24),
        "cut short": good[: len(good) // 2],
        "a name of other bytes": _with_field(tar_entry("ranker.txt"), 0, b"\xff\xfe") + _END,
    }
    whole = gzip.compress(good + _END, mtime=0)
    damaged = bytearray(whole)
    damaged[-5] ^= 1
    return {
        **{name: gzip.compress(content, mtime=0) for name, content in tars.items()},
        "no gzip": good + _END,
        "a wrong trailer": bytes(damaged),
        "no trailer": whole[:-8],
        "a second member": whole + gzip.compress(b"more", mtime=0),
        "bytes behind": whole + b"more",
        "an empty file": b"",
    }


def _with_field(entry: bytes, place: int, field: bytes) -> bytes:
    changed = bytearray(entry)
    changed[place : place + len(field)] = field
    if place != 148:
        changed[148:156] = b" " * 8
        changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


def _npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def _contents() -> dict[str, Content]:
    def replace(name: str, content: bytes) -> Content:
        def change(folder: Path) -> None:
            (folder / name).write_bytes(content)

        return change

    def settings(name: str, **changes: object) -> Content:
        def change(folder: Path) -> None:
            found = json.loads((folder / name).read_bytes())
            (folder / name).write_text(json.dumps(found | changes), encoding="utf-8")

        return change

    def golden(**changes: object) -> Content:
        def change(folder: Path) -> None:
            found = json.loads((folder / "golden.json").read_bytes())
            found[0] |= changes
            (folder / "golden.json").write_text(json.dumps(found), encoding="utf-8")

        return change

    deep = b"[" * 100_000
    return {
        "manifest: no JSON": replace("manifest.json", b"{"),
        "manifest: deep": replace("manifest.json", deep),
        "manifest: large": replace("manifest.json", b" " * (2**20 + 1)),
        "manifest: NaN": settings("manifest.json", metrics={"ndcg@10": float("nan")}),
        "npy: billions of rows": replace("content.npy", _npy("<f4", "(4000000000, 64)")),
        "npy: more than there is": replace("content.npy", _npy("<f4", "(200, 16)")),
        "npy: objects": replace("provider.npy", _npy("|O", "(200,)", b"cos\nsystem\n.")),
        "npy: a large header": replace("provider.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f"),
        "npy: code in the header": replace("provider.npy", _npy("<i4", "(__import__('os').getpid(),)")),
        "npy: many dimensions": replace("provider.npy", _npy("<i4", "(" + "1," * 3000 + ")")),
        "npy: a negative length": replace("provider.npy", _npy("<i4", "(-1,)")),
        "npy: a position outside": replace("popular_items.npy", _npy("<i4", "(1,)", b"\xff\xff\xff\x7f")),
        "parquet: nothing": replace("items.parquet", b""),
        "parquet: a long footer": replace("items.parquet", b"PAR1" + b"\xff\xff\xff\x7fPAR1"),
        "parquet: zeros": replace("items.parquet", b"PAR1" + bytes(1000) + b"\xe8\x03\0\0PAR1"),
        "json: deep": replace("trending.json", deep),
        "json: a long number": replace("trending.json", b'{"1h": [' + b"9" * 100_000 + b"]}"),
        "json: large": replace("trending.json", b" " * (2**24 + 1)),
        "json: a position outside": replace("trending.json", b'{"1h": [1000000]}'),
        "json: UTF-16": replace("recall.json", '{"seed_items": 3}'.encode("utf-16")),
        "recall: a huge channel": settings("recall.json", channel_sizes={"behavior": 10**15}),
        "recall: a negative channel": settings("recall.json", channel_sizes={"behavior": -1}),
        "recall: a huge history": settings("recall.json", history_length=10**15),
        "recall: negative seeds": settings("recall.json", seed_items=-(2**40)),
        "golden: histories of two lengths": golden(history_ids=[1, 2, 3], history_ts=[], history_types=[]),
        "golden: many features": golden(user_features=[0.0] * 100_000),
        "golden: a time without end": golden(at=2**62),
        "golden: another answer": golden(expected_ids=[1, 2, 3], expected_scores=[1.0, 1.0, 1.0]),
    }


def _rankers() -> dict[str, Content]:
    def line(name: str, value: Callable[[str], str], *, offsets: bool = True) -> Content:
        def change(folder: Path) -> None:
            path = folder / "ranker.txt"
            lines = path.read_text("utf-8").split("\n")
            place = next(place for place, each in enumerate(lines) if each.startswith(f"{name}="))
            lines[place] = f"{name}={value(lines[place].partition('=')[2])}"
            text = "\n".join(lines)
            path.write_text(_with_offsets(text) if offsets else text, "utf-8")

        return change

    def first(value: str) -> Callable[[str], str]:
        return lambda found: f"{value} {found.partition(' ')[2]}"

    changes = {
        "a space": line("leaf_value", lambda found: f" {found}"),
        "a space and the old offsets": line("leaf_value", lambda found: f" {found}", offsets=False),
        "a word": line("leaf_value", first("word")),
        "not a number": line("leaf_value", first("nan")),
        "a number without end": line("leaf_value", first("9" * 5000)),
        "a value less": line("leaf_value", lambda found: found.rpartition(" ")[0]),
        "a child outside": line("left_child", first("100000000")),
        "a leaf outside": line("right_child", first("-100000000")),
        "a circle": line("left_child", first("0")),
        "a feature outside": line("split_feature", first("100000000")),
        "a negative feature": line("split_feature", first("-100")),
        "a category": line("decision_type", first("1")),
        "billions of leaves": line("num_leaves", lambda _: "2000000000"),
        "negative leaves": line("num_leaves", lambda _: "-2"),
        "billions of categories": line("num_cat", lambda _: "2000000000"),
        "linear": line("is_linear", lambda _: "1"),
        "an offset outside": line("tree_sizes", first("2000000000"), offsets=False),
        "a negative offset": line("tree_sizes", first("-5"), offsets=False),
        "billions of features": line("max_feature_idx", lambda _: "2147483647"),
        "billions of classes": line("num_class", lambda _: "2147483647"),
    }
    return {f"ranker: {name}": change for name, change in changes.items()}


def _with_offsets(text: str) -> str:
    """Write LightGBM's offsets of the trees anew, as one would who wants the change to be read."""
    start = text.find("\nTree=0\n") + 1
    sizes = [len(part) + len("Tree=") for part in text[start : text.find("end of trees\n")].split("Tree=")[1:]]
    old = next(line for line in text.split("\n") if line.startswith("tree_sizes="))
    return text.replace(old, f"tree_sizes={' '.join(map(str, sizes))}")


def _fuzzed(dice: random.Random) -> dict[str, Content]:
    def damage(name: str, seed: int) -> Content:
        def change(folder: Path) -> None:
            own, path = random.Random(seed), folder / name
            content = bytearray(path.read_bytes())
            # In the head and at the end, where sizes and types stand.
            for _ in range(8):
                place = own.choice((own.randrange(min(128, len(content))), len(content) - 1 - own.randrange(128)))
                content[place] = own.randrange(256)
            path.write_bytes(content)

        return change

    seeds = {(name, number): dice.randrange(2**32) for name in _FUZZED for number in range(_FUZZES)}
    return {f"fuzz: {name} {number}": damage(name, seed) for (name, number), seed in seeds.items()}

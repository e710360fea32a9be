"""A bundle's archive and manifest: reproducible, complete, and safe to take from a stranger."""

import gzip
import io
import json
import random
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.bundle import (
    BundleManifest,
    DataWindow,
    FeatureSpec,
    MalformedBundleError,
    MalformedManifestError,
    UnreadableFeaturesError,
    check_features,
    pack,
    read_manifest,
    unpack,
    write_manifest,
)
from contracts.checksums import ChecksumError
from contracts.features import FEATURE_SCHEMA, TRAINED_FEATURES, Feature, schema_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle folder with two files and its manifest."""
    made = tmp_path / "made"
    made.mkdir()
    (made / "ranker.txt").write_text("tree", encoding="utf-8")
    (made / "content.npy").write_bytes(bytes(1000))
    write_manifest(
        made,
        BundleManifest(
            name="ranker",
            version="7",
            created_at=NOW,
            git_commit=None,
            data_window=DataWindow(start=NOW, end=NOW, interactions=1, users=1, datasets=1),
            feature_schema=FEATURE_SCHEMA,
            metrics={"ndcg@10": 0.2},
        ),
    )
    return made


def test_a_packed_bundle_unpacks_to_the_same_files_and_manifest(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "b.tar.gz")
    manifest = unpack(tmp_path / "b.tar.gz", tmp_path / "out")
    assert manifest == read_manifest(folder)
    assert [feature.name for feature in manifest.features] == [feature.name for feature in TRAINED_FEATURES]
    assert (tmp_path / "out" / "content.npy").read_bytes() == bytes(1000)


def test_the_same_content_packs_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "a.tar.gz")
    (folder / "ranker.txt").touch()
    pack(folder, tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_a_file_that_is_not_the_manifests_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    (folder / "ranker.txt").write_text("another tree", encoding="utf-8")
    pack(folder, tmp_path / "b.tar.gz")
    with pytest.raises(ChecksumError, match=r"ranker\.txt: sha256"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")


def test_a_missing_file_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    (folder / "ranker.txt").unlink()
    pack(folder, tmp_path / "b.tar.gz")
    with pytest.raises(ChecksumError, match=r"ranker\.txt: named in the manifest, but missing"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")


def test_a_file_that_the_manifest_does_not_name_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "provider.npy").write_bytes(b"x")
    pack(folder, tmp_path / "b.tar.gz")
    with pytest.raises(ChecksumError, match=r"provider\.npy: not named"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")


@pytest.mark.parametrize("keep", [0, 1, 100, 400])
def test_an_archive_cut_short_is_refused(folder: Path, tmp_path: Path, keep: int) -> None:
    pack(folder, tmp_path / "b.tar.gz")
    (tmp_path / "b.tar.gz").write_bytes((tmp_path / "b.tar.gz").read_bytes()[:keep])
    with pytest.raises((MalformedBundleError, MalformedManifestError, ChecksumError)):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")


def test_a_flipped_byte_anywhere_is_refused_or_changes_no_file(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "b.tar.gz"
    pack(folder, archive)
    whole, manifest = archive.read_bytes(), read_manifest(folder)
    refused = 0
    for position in range(len(whole)):
        archive.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            assert unpack(archive, tmp_path / f"out-{position}").files == manifest.files
        except (MalformedBundleError, MalformedManifestError, ChecksumError):
            refused += 1
    assert refused > len(whole) * 0.9


def test_damage_in_the_middle_of_a_large_file_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "item_rows.npy").write_bytes(random.Random(1).randbytes(2_000_000))
    write_manifest(folder, read_manifest(folder))
    archive = tmp_path / "b.tar.gz"
    pack(folder, archive)
    whole = archive.read_bytes()
    for start in range(200_000, len(whole) - 8, 300_000):
        archive.write_bytes(whole[:start] + b"\xff" * 4096 + whole[start + 4096 :])
        with pytest.raises((MalformedBundleError, ChecksumError)):
            unpack(archive, tmp_path / f"out-{start}")


def _archive_of(path: Path, entry: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["../outside.txt", "inner/../../outside.txt", "{folder}/outside.txt"])
def test_a_path_out_of_the_folder_is_refused_and_writes_nothing(tmp_path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name.format(folder=tmp_path))
    with pytest.raises(MalformedBundleError):
        unpack(_archive_of(tmp_path / "b.tar.gz", entry, b"x"), tmp_path / "out")
    assert not (tmp_path / "outside.txt").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("ranker.txt")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(MalformedBundleError, match=r"ranker\.txt: only plain files"):
        unpack(_archive_of(tmp_path / "b.tar.gz", link), tmp_path / "out")


def test_something_else_than_an_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(b"no tar at all" * 100))
    with pytest.raises(MalformedBundleError, match=r"not a readable \.tar\.gz"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")


def test_a_folder_without_manifest_says_so(tmp_path: Path) -> None:
    with pytest.raises(MalformedManifestError, match=r"manifest\.json: missing"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../ranker"),
        ("version", ""),
        ("version", "a\0b"),
        ("git_commit", "a\0b"),
        ("created_at", "2026-01-02T00:00:00"),
        ("trained_until", "9999-12-31T23:59:59-12:00"),
        ("trained_until", "0001-01-01T00:00:00+12:00"),
        ("feature_schema", "xyz"),
        ("format", 2),
        ("metrics", {"ndcg@10": "good"}),
    ],
)
def test_a_malformed_manifest_names_the_field(folder: Path, field: str, value: object) -> None:
    document = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(document | {field: value}), encoding="utf-8")
    with pytest.raises(MalformedManifestError, match=rf"manifest\.json: {field}"):
        read_manifest(folder)


def test_a_field_of_a_later_release_is_ignored_and_the_release_before_gets_none(folder: Path) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert not {"refreshes", "trained_until"} & content.keys()
    before = read_manifest(folder)
    path.write_text(json.dumps(content | {"of_a_later_release": {"any": 1}}), encoding="utf-8")
    assert read_manifest(folder) == before


def _of_features(manifest: BundleManifest, features: list[FeatureSpec]) -> BundleManifest:
    schema = schema_of(Feature(spec.name, spec.dtype, spec.default) for spec in features)
    return manifest.model_copy(update={"features": features, "feature_schema": schema})


def test_fewer_features_in_another_order_can_be_read(folder: Path) -> None:
    manifest = read_manifest(folder)
    check_features(manifest)
    check_features(_of_features(manifest, manifest.features[20:3:-1]))


def test_features_that_this_release_does_not_compute_are_rejected_by_name(folder: Path) -> None:
    manifest = read_manifest(folder)
    strangers = [FeatureSpec(name=name, dtype="float32", default=0.0) for name in ("moon_phase", "item_luck")]
    with pytest.raises(UnreadableFeaturesError, match=r"does not compute the features moon_phase, item_luck$"):
        check_features(_of_features(manifest, [strangers[0], *manifest.features, strangers[1]]))


@pytest.mark.parametrize("change", [{"default": 7.0}, {"dtype": "float64"}])
def test_a_feature_of_another_default_or_type_is_rejected_by_name(folder: Path, change: dict[str, object]) -> None:
    manifest = read_manifest(folder)
    changed = [manifest.features[0], manifest.features[1].model_copy(update=change), *manifest.features[2:]]
    with pytest.raises(UnreadableFeaturesError, match=rf"the features {changed[1].name}$"):
        check_features(_of_features(manifest, changed))


def test_a_schema_that_does_not_match_the_features_is_rejected_with_both(folder: Path) -> None:
    manifest = read_manifest(folder).model_copy(update={"feature_schema": "0" * 16})
    with pytest.raises(
        UnreadableFeaturesError, match=rf"feature_schema is 0{{16}}, that of its features is {FEATURE_SCHEMA}"
    ):
        check_features(manifest)


def test_a_manifest_that_is_not_json_says_so(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"{\xff")
    with pytest.raises(MalformedManifestError, match=r"manifest\.json: document"):
        read_manifest(folder)


def _record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    length += len(str(length + len(str(length))))
    return b"%d %b=%b\n" % (length, key, value)


def _header(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    entry = tarfile.TarInfo("header")
    entry.type, entry.size = kind, len(content) if size is None else size
    return entry.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


@pytest.mark.parametrize(
    "header",
    [
        _header(b"x", _record(b"path", b"a\0b")),
        _header(b"x", _record(b"path", b"a/" * 1500 + b"b")),
        _header(b"x", _record(b"GNU.sparse.map", b"a,b") + _record(b"GNU.sparse.size", b"10")),
        _header(b"x", b"99999999999999999999999 a=b\n"),
        _header(b"x", _record(b"a", b"b")) * 3000,
        _header(b"x", bytes(2**20), 2**31),
        _header(b"L", b"a" * 2**20, 2**31),
    ],
    ids=["NUL in a name", "deep", "sparse map", "record", "headers without end", "a bomb", "a name that is a bomb"],
)
def test_an_entry_with_an_impossible_header_is_refused(tmp_path: Path, header: bytes) -> None:
    archive = tmp_path / "b.tar.gz"
    archive.write_bytes(gzip.compress(header + _header(b"0", b"") + bytes(1024)))
    with pytest.raises(MalformedBundleError):
        unpack(archive, tmp_path)


def test_a_manifest_that_is_a_folder_or_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(MalformedManifestError, match="is a folder"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").rmdir()
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(MalformedManifestError, match="larger than"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("style", ["ustar", "gnu", "posix"])
def test_what_tar_makes_of_a_folder_is_unpacked(folder: Path, tmp_path: Path, style: str) -> None:
    archive = tmp_path / "b.tar.gz"
    subprocess.run(["tar", f"--format={style}", "-czf", archive, "-C", folder, "."], check=True, timeout=30)
    assert unpack(archive, tmp_path / "out") == read_manifest(folder)
    assert (tmp_path / "out" / "content.npy").read_bytes() == bytes(1000)


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_pythons_tarfile_makes_of_a_folder_is_unpacked(folder: Path, tmp_path: Path, style: int) -> None:
    archive = tmp_path / "b.tar.gz"
    with tarfile.open(archive, "w:gz", format=style, pax_headers={"comment": "x"} if style == 2 else None) as tar:
        for name in sorted(path.name for path in folder.iterdir()):
            tar.add(folder / name, arcname=name)
    if style == tarfile.PAX_FORMAT:
        # A comment for all entries is a global header, which no `tar` writes unasked.
        with pytest.raises(MalformedBundleError):
            unpack(archive, tmp_path / "out")
    else:
        assert unpack(archive, tmp_path / "out") == read_manifest(folder)


def _entry(name: str, content: bytes = b"", kind: bytes = b"0", size: int | None = None) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, len(content) if size is None else size
    return entry.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


_END = bytes(1024)
_BAD_SUM = b"manifest.jsom" + _entry("manifest.json")[13:]
_SPARSE = _record(b"GNU.sparse.major", b"1") + _record(b"GNU.sparse.realsize", b"2147483648")


@pytest.mark.parametrize(
    ("tar", "says"),
    [
        (_entry("evil.pkl", b"x") + _END, r"evil\.pkl: not a file of a bundle"),
        (_entry("a/ranker.txt", b"x") + _END, r"a/ranker\.txt: not a file of a bundle"),
        (_entry("ranker.txt", b"x") * 2 + _END, r"ranker\.txt: is in the archive twice"),
        (_entry("./ranker.txt", b"x") + _entry("ranker.txt", b"x") + _END, "twice"),
        (_entry("deeper/", kind=b"5") + _END, "has no folders"),
        (_entry("ranker.txt", kind=b"1") + _END, "only plain files"),
        (_entry("ranker.txt", kind=b"3") + _END, "only plain files"),
        (_entry("ranker.txt", kind=b"6") + _END, "only plain files"),
        (_entry("ranker.txt", kind=b"7") + _END, "only plain files"),
        (_entry("ranker.txt", b"x" * 512, kind=b"S") + _END, "only plain files"),
        (_header(b"g", _record(b"path", b"ranker.txt")) + _END, "only plain files"),
        (_header(b"x", _SPARSE) + _entry("ranker.txt", b"x") + _END, r"GNU\.sparse\.major is not supported"),
        (_header(b"x", _record(b"path", b"a") * 2) + _entry("ranker.txt") + _END, "path comes twice"),
        (_header(b"x", _record(b"path", b"/etc/passwd")) + _entry("ranker.txt") + _END, "outside of the bundle"),
        (_header(b"x", _record(b"size", b"1e9")) + _entry("ranker.txt") + _END, "the size of an entry"),
        (_header(b"x", _record(b"comment", b"a" * 65_536)) + _entry("ranker.txt") + _END, "larger than 65536"),
        (_header(b"x", b"5 a=b") + _entry("ranker.txt") + _END, "PAX record"),
        (_entry("manifest.json", size=2**21) + _END, r"manifest\.json: 2097152 bytes"),
        (_entry("content.npy", size=2**32) + _END, "unpacks to 4294967296 bytes"),
        (_entry("content.npy", size=2**34) + _END, "is not text"),
        (_BAD_SUM + _END, "checksum of a header"),
        (_entry("ranker.txt", b"x"), "ends inside an entry"),
        (_entry("ranker.txt", b"x") + bytes(512), "ends inside an entry"),
        (_entry("ranker.txt", b"x") + bytes(512) + _entry("evil"), "does not end the archive"),
        (_entry("ranker.txt", b"x") + _END + b"more", "follows the end of the tar"),
        (_entry("ranker.txt", b"x") + _END + bytes(2**20), "follows the end of the tar"),
    ],
)
def test_an_archive_that_is_not_on_the_whitelist_is_refused(tmp_path: Path, tar: bytes, says: str) -> None:
    archive = tmp_path / "b.tar.gz"
    archive.write_bytes(gzip.compress(tar))
    with pytest.raises(MalformedBundleError, match=says):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("more", [b"x", gzip.compress(b"x"), gzip.compress(b"")], ids=["bytes", "member", "empty"])
def test_nothing_may_follow_the_gzip_member(folder: Path, tmp_path: Path, more: bytes) -> None:
    archive = tmp_path / "b.tar.gz"
    pack(folder, archive)
    archive.write_bytes(archive.read_bytes() + more)
    with pytest.raises(MalformedBundleError, match="only gzip member"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("place", [-1, -5], ids=["length", "checksum"])
def test_the_trailer_of_the_gzip_member_is_checked(folder: Path, tmp_path: Path, place: int) -> None:
    archive = tmp_path / "b.tar.gz"
    pack(folder, archive)
    damaged = bytearray(archive.read_bytes())
    damaged[place] ^= 1
    archive.write_bytes(damaged)
    with pytest.raises(MalformedBundleError, match=r"not a readable \.tar\.gz"):
        unpack(archive, tmp_path / "out")


def test_a_bomb_is_refused_before_a_byte_of_it_is_written(tmp_path: Path) -> None:
    archive = tmp_path / "b.tar.gz"
    archive.write_bytes(gzip.compress(_entry("content.npy", size=2**31) + bytes(2**20)))
    with pytest.raises(MalformedBundleError, match="unpacks to"):
        unpack(archive, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())

"""`manifest.json` of a bundle: what it is, what it was made from, and the checksum of every file."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from contracts.checksums import files_below, sha256_of
from contracts.data_checks import DataCheck
from contracts.feature_spec import FeatureSpec
from contracts.features import FEATURES, TRAINED_FEATURES, is_own, schema_of
from contracts.model_versions import MODEL_NAME, MODEL_VERSION, SHA256
from contracts.moments import Moment
from contracts.text import check_text

MANIFEST = "manifest.json"
RANKER = "ranker.txt"
# A bundle's has 20 kB. Reading a larger one would hold up a service's other answers.
MAX_MANIFEST_BYTES = 2**20
MAX_BIN_EDGES = 20
FORMAT = 1


class MalformedManifestError(ValueError):
    """`manifest.json` is missing, not JSON, or not of this schema; the message names the field."""


class UnreadableFeaturesError(ValueError):
    """The bundle's ranker needs features that this release does not compute; the message names them."""


class AnotherRankerError(ValueError):
    """The bundle says that it refreshes a version, and has another ranker than that one."""


class DataWindow(BaseModel):
    """The interactions that the bundle was trained on; `end` is the moment its item features stand at."""

    start: Moment
    end: Moment
    interactions: Annotated[int, Field(ge=0)]
    users: Annotated[int, Field(ge=0)]
    datasets: Annotated[int, Field(ge=0)]


class ValueBins(BaseModel):
    """How the values of a column fall into bins: `shares` [n + 1] between ascending `edges` [n], which belong below."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True)

    edges: Annotated[tuple[float, ...], Field(max_length=MAX_BIN_EDGES)]
    shares: Annotated[tuple[float, ...], Field(min_length=1, max_length=MAX_BIN_EDGES + 1)]

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError("shares: one more than edges")
        return self


class BundleManifest(BaseModel):
    """Schema of `manifest.json`; `version` is the run's id and a hash of the content, the registry gives its own.

    `refreshes` is the registry's version of the trained model whose statistics and lists this bundle renews; a bundle
    that was trained itself has None. `trained_until` is the time of the newest interaction that training saw, None in a
    bundle of an earlier release. `config` is the shape of the training, as `pipeline.yaml` writes it: for people, no
    program reads it. `feature_quantiles` are the deciles of each feature, and of the scores, of past queries; a bundle
    of an earlier release has none. Fields of a later release are ignored.
    """

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    name: Annotated[str, Field(pattern=MODEL_NAME)]
    version: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(check_text)]
    created_at: Moment
    git_commit: Annotated[str, AfterValidator(check_text)] | None
    data_window: DataWindow
    feature_schema: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    features: list[FeatureSpec] = [FeatureSpec.of(feature) for feature in TRAINED_FEATURES]
    catalogue_sketch: list[str] = []
    data_checks: list[DataCheck] = []
    metrics: dict[str, float]
    refreshes: Annotated[str, Field(pattern=MODEL_VERSION)] | None = None
    trained_until: Moment | None = None
    config: dict[str, JsonValue] | None = None
    feature_quantiles: dict[str, ValueBins] = {}
    files: dict[str, Annotated[str, Field(pattern=SHA256)]] = {}


def check_same_ranker(refresh: BundleManifest, trained: BundleManifest) -> None:
    """Check that a refresh has the ranker of the version that it refreshes; raises `AnotherRankerError`."""
    if refresh.files.get(RANKER) != trained.files.get(RANKER):
        raise AnotherRankerError(
            f"{RANKER} is another one than that of version {refresh.refreshes}, which this bundle refreshes; "
            "a bundle with a ranker of its own is pushed without `refreshes`"
        )


def check_features(manifest: BundleManifest) -> None:
    """Check that this release computes the bundle's features; raises `UnreadableFeaturesError`.

    They may be those of an earlier release: fewer, or in another order. A feature of another type or default is
    another one. The values of declared columns are in the bundle and the snapshot, so this release needs no code of
    theirs.
    """
    features = [spec.feature() for spec in manifest.features]
    unknown = [feature.name for feature in features if feature not in FEATURES and not is_own(feature)]
    if unknown:
        raise UnreadableFeaturesError(f"this release does not compute the features {', '.join(unknown)}")
    schema = schema_of(features)
    if schema != manifest.feature_schema:
        raise UnreadableFeaturesError(f"feature_schema is {manifest.feature_schema}, that of its features is {schema}")


def read_manifest(folder: Path) -> BundleManifest:
    """Read `manifest.json` below `folder`; raises `MalformedManifestError`."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise MalformedManifestError(f"{MANIFEST}: larger than {MAX_MANIFEST_BYTES} bytes")
        return BundleManifest.model_validate_json(path.read_bytes())
    except IsADirectoryError as error:
        raise MalformedManifestError(f"{MANIFEST}: is a folder") from error
    except FileNotFoundError as error:
        raise MalformedManifestError(f"{MANIFEST}: missing") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise MalformedManifestError(f"{MANIFEST}: {field or 'document'}: {first['msg']}") from error


def write_manifest(folder: Path, manifest: BundleManifest) -> BundleManifest:
    """Fill in the checksums of all files below `folder`, write `manifest.json` there, and return it."""
    sums = {name: sha256_of(path) for name, path in files_below(folder).items() if name != MANIFEST}
    complete = manifest.model_copy(update={"files": sums})
    # Older releases reject fields that they don't know, so there are no empty ones.
    unused = {name for name in ("refreshes", "trained_until", "config") if getattr(manifest, name) is None}
    (folder / MANIFEST).write_text(complete.model_dump_json(indent=2, exclude=unused) + "\n", encoding="utf-8")
    return complete

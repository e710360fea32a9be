"""The words of a deployment that model-registry and recommender-api share."""

from enum import StrEnum


class DeploymentStage(StrEnum):
    """At which step a deployment failed: the tag `stage` of `model.deployment_failed`, and `failed_stage` of history.

    `source` is that of `model.source_not_found`.
    """

    SOURCE = "source"
    DOWNLOAD = "download"
    CHECKSUM = "checksum"
    UNPACK = "unpack"
    MANIFEST = "manifest"
    LOAD = "load"
    GOLDEN = "golden"
    VALIDATE = "validate"
    GATE = "gate"
    ACTIVATE = "activate"

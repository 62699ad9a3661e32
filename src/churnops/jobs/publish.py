"""`churnops publish`: registered bundles in SageMaker's Model Registry, approved as they are in ours."""

import gzip
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churnops.bundle.bundle import FILES, MANIFEST_FILE, Bundle, read_bundle
from churnops.cloud.aws import Aws
from churnops.cloud.model_registry import Approval, Package, approve, package_request, published
from churnops.cloud.model_registry import publish as make_package
from churnops.cloud.s3 import put
from churnops.cloud.settings import SageMaker
from churnops.config import Settings
from churnops.errors import ConfigError, RegistryError
from churnops.registry.aliases import Version, fetched_bundle, find_version, holders
from churnops.registry.names import CHALLENGER, CHAMPION


@dataclass(frozen=True)
class Published:
    """What became of a bundle, and of those published before it."""

    model_version: str
    arn: str
    moved: tuple[str, ...]
    """Packages whose approval changed, in words."""


def publish(name: str, number: int | None, cloud: SageMaker, settings: Settings, aws: Aws) -> Published:
    """Publish version `number` of `name`, or its champion, and bring every approval up to date.

    The champion is approved, a refused challenger rejected, any other waits. Publishing again moves approvals
    only. Raises RegistryError where there is no such version, ConfigError without a serving image, and
    CloudError.
    """
    version = _version(name, number, settings)
    with fetched_bundle(settings.mlflow_uri, version) as folder:
        package = _package(version, read_bundle(folder), cloud)
        put(_packed(folder), package.model, aws, kms_key=cloud.kms_key)
        put((folder / MANIFEST_FILE).read_bytes(), package.manifest, aws, kms_key=cloud.kms_key)
    known = published(package.group, name, aws)
    if package.content_hash not in known:
        make_package(package, cloud, aws)
        known = published(package.group, name, aws)
    held = holders(settings.mlflow_uri, name)
    moved = []
    for content_hash, one in known.items():
        approval, why = _approval(content_hash, held)
        if approve(one, approval, why, aws):
            moved.append(f"{one['ModelPackageArn']}: {approval}, {why}")
    return Published(version.model_version, known[package.content_hash]["ModelPackageArn"], tuple(moved))


def request(name: str, number: int | None, cloud: SageMaker, settings: Settings) -> dict[str, Any]:
    """What SageMaker would be asked for; nothing is uploaded and nobody asked."""
    version = _version(name, number, settings)
    with fetched_bundle(settings.mlflow_uri, version) as folder:
        return package_request(_package(version, read_bundle(folder), cloud), cloud)


def _version(name: str, number: int | None, settings: Settings) -> Version:
    if number is not None:
        return find_version(settings.mlflow_uri, name, number)
    serving = holders(settings.mlflow_uri, name).get(CHAMPION)
    if serving is None:
        raise RegistryError(f"{name} has no champion: name a version with --version")
    return serving


def _package(version: Version, bundle: Bundle, cloud: SageMaker) -> Package:
    if not cloud.serving_image:
        raise ConfigError("sagemaker", ["serving_image: there is no image that serves what is published"])
    manifest, address = bundle.manifest, f"{cloud.bucket}/bundles/{version.content_hash}"
    figures = {name: f"{metric.value:.4f}" for name, metric in manifest.metrics.items()}
    return Package(
        group=cloud.model_package_group or _group(version.name),
        name=version.name,
        content_hash=version.content_hash,
        model=f"{address}/model.tar.gz",
        manifest=f"{address}/{MANIFEST_FILE}",
        description=f"{version.model_version}, version {version.number}, {version.candidate}",
        properties={
            "model_version": version.model_version,
            "candidate": version.candidate,
            "code_commit": manifest.code_commit,
            "data_fingerprint": manifest.data_fingerprint,
            **figures,
        },
    )


def _group(name: str) -> str:
    """A group name AWS takes. That of `a_b` and `a-b` is the same: a package says whose it is."""
    return f"churnops-{name.replace('_', '-')}"[:63].rstrip("-")


def _approval(content_hash: str, held: dict[str, Version]) -> tuple[Approval, str]:
    by_alias = {alias: version.content_hash for alias, version in held.items()}
    if by_alias.get(CHAMPION) == content_hash:
        return "Approved", "it is the champion: it passed every gate"
    if by_alias.get(CHALLENGER) == content_hash:
        return "Rejected", "it is the challenger: a gate refused it"
    return "PendingManualApproval", "it is neither champion nor challenger"


def _packed(folder: Path) -> bytes:
    """The bundle as SageMaker unpacks it; the same bundle, the same bytes."""
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for file in (folder / name for name in FILES if (folder / name).exists()):
            member = tarfile.TarInfo(file.name)
            member.size = file.stat().st_size
            archive.addfile(member, io.BytesIO(file.read_bytes()))
    return content.getvalue()

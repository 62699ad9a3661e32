"""Model versions and the two aliases: `champion` is served, `challenger` was proposed and refused."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from pydantic import ValidationError

from churnops.bundle.bundle import read_bundle
from churnops.bundle.manifest import Manifest
from churnops.errors import BundleError, RegistryError
from churnops.registry import artifacts
from churnops.registry.client import connect
from churnops.registry.names import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION
from churnops.registry.promotion import Evidence

BUNDLE_FOLDER = "bundle"
"""Where in its run's artifacts a version's bundle lies."""
_EVIDENCE = "evidence"


@dataclass(frozen=True)
class Version:
    """One registered bundle."""

    name: str
    number: int
    model_version: str
    content_hash: str
    candidate: str
    run_id: str
    source: str


def register(client: MlflowClient, manifest: Manifest, *, run_id: str) -> Version:
    """The version of the bundle that `run_id` holds; a bundle registered before keeps its version and run."""
    if find_model(client, manifest.name) is None:
        client.create_registered_model(manifest.name)
    same_content = f"name = '{manifest.name}' and tag.content_hash = '{manifest.content_hash}'"
    known = client.search_model_versions(same_content, order_by=["version_number ASC"])
    if known:
        return _version(known[0])
    source = f"{client.get_run(run_id).info.artifact_uri}/{BUNDLE_FOLDER}"
    tags = {
        "model_version": manifest.model_version,
        "content_hash": manifest.content_hash,
        "candidate": manifest.candidate,
    }
    # MLflow's own stores make it at once; to wait, which it does not, it would say so to everybody.
    return _version(client.create_model_version(manifest.name, source, run_id, tags, await_creation_for=0))


def champion(uri: str, name: str) -> Version | None:
    """The version that serves; None before the first promotion."""
    with connect(uri) as client:
        model = find_model(client, name)
        number = model and model.aliases.get(CHAMPION)
        return _version(client.get_model_version(name, str(number))) if number else None


def holders(uri: str, name: str) -> dict[str, Version]:
    """Who holds which of the two aliases; empty for a model nobody registered."""
    with connect(uri) as client:
        model = find_model(client, name)
        aliases = model.aliases if model else {}
        return {
            alias: _version(client.get_model_version(name, str(number)))
            for alias, number in aliases.items()
            if alias in (CHAMPION, CHALLENGER)
        }


def find_version(uri: str, name: str, number: int) -> Version:
    """Version `number` of `name`; raise RegistryError where there is none that churnops registered."""
    with connect(uri) as client:
        return _version(client.get_model_version(name, str(number)))


@contextmanager
def fetched_bundle(uri: str, version: Version) -> Iterator[Path]:
    """A version's bundle in a folder that is there until the block ends, from any store that MLflow can read.

    Raises BundleError when it is not the bundle that was registered.
    """
    with tempfile.TemporaryDirectory(prefix="churnops-bundle-") as unnamed:
        with connect(uri) as client:
            folder = artifacts.fetch(client, version.run_id, BUNDLE_FOLDER, Path(unnamed))
        held = read_bundle(folder).manifest
        if held.content_hash != version.content_hash:
            raise BundleError(f"{version.source}: holds {held.model_version}, not {version.model_version}")
        yield folder


def record_evidence(client: MlflowClient, version: Version, evidence: Evidence) -> None:
    """Keep with the version what is known of it, in place of what was known before."""
    client.set_model_version_tag(version.name, str(version.number), _EVIDENCE, evidence.model_dump_json())


def recorded_evidence(uri: str, version: Version) -> Evidence | None:
    """What is known of the version; None when nothing was recorded or it cannot be read."""
    with connect(uri) as client:
        tags: Mapping[str, str] = client.get_model_version(version.name, str(version.number)).tags
    try:
        return Evidence.model_validate_json(tags[_EVIDENCE])
    except (KeyError, ValidationError):
        return None


def make_challenger(uri: str, version: Version) -> None:
    """Move the alias `challenger` to the version."""
    with connect(uri) as client:
        client.set_registered_model_alias(version.name, CHALLENGER, str(version.number))


def make_champion(uri: str, version: Version) -> None:
    """Move the alias `champion` to the version, noting which one it replaces; it is challenger no more.

    Asks no questions: only a decision that passed the gates may call it. The alias moves last, so that a call
    cut short can be repeated.
    """
    number = str(version.number)
    with connect(uri) as client:
        aliases = client.get_registered_model(version.name).aliases
        if str(aliases.get(CHALLENGER)) == number:
            client.delete_registered_model_alias(version.name, CHALLENGER)
        if CHAMPION in aliases:
            client.set_model_version_tag(version.name, number, PREVIOUS_CHAMPION, str(aliases[CHAMPION]))
        client.set_registered_model_alias(version.name, CHAMPION, number)


def find_model(client: MlflowClient, name: str) -> RegisteredModel | None:
    """The model `name`, with aliases and tags; None where nobody registered it."""
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise


def _version(found: ModelVersion) -> Version:
    missing = {"model_version", "content_hash", "candidate"} - found.tags.keys()
    if missing or not found.run_id or not found.source:
        raise RegistryError(f"version {found.version} of {found.name} was not registered by churnops")
    return Version(
        name=found.name,
        number=int(found.version),
        model_version=found.tags["model_version"],
        content_hash=found.tags["content_hash"],
        candidate=found.tags["candidate"],
        run_id=found.run_id,
        source=found.source,
    )

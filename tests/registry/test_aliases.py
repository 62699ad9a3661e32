"""Versions, the bundles behind them, and who is champion."""

from dataclasses import replace
from pathlib import Path

import pytest
from comparisons import make_comparison
from mlflow import MlflowClient

from churnops.bundle.bundle import read_bundle
from churnops.config import Settings
from churnops.errors import BundleError, RegistryError
from churnops.registry.aliases import (
    Version,
    champion,
    fetched_bundle,
    find_version,
    make_challenger,
    make_champion,
    recorded_evidence,
)
from churnops.registry.tracking import CandidateRun, record


@pytest.fixture
def settings(tracking_uri: str, tmp_path: Path) -> Settings:
    """A data folder of its own, whose path has a blank."""
    return Settings(data_dir=tmp_path / "our data", tracking_uri=tracking_uri)


@pytest.fixture
def versions(settings: Settings, tmp_path: Path) -> list[Version]:
    """Two versions of one model, neither with an alias."""
    plain = {"candidates": (CandidateRun("torch", {}),), "files": ()}
    return [record(make_comparison(tmp_path, mark, **plain), settings).version for mark in (0.4, 0.6)]


def aliases(uri: str, name: str) -> dict[str, int]:
    found = MlflowClient(uri, uri).get_registered_model(name).aliases
    return {alias: int(number) for alias, number in found.items()}


def tags(uri: str, version: Version) -> dict[str, str]:
    return dict(MlflowClient(uri, uri).get_model_version(version.name, str(version.number)).tags)


def test_nobody_is_champion_of_what_was_never_registered(tracking_uri: str) -> None:
    assert champion(tracking_uri, "never-heard-of") is None


def test_nobody_is_champion_at_first(tracking_uri: str, versions: list[Version]) -> None:
    assert champion(tracking_uri, versions[0].name) is None


def test_the_champion_is_the_version_made_so(tracking_uri: str, versions: list[Version]) -> None:
    make_champion(tracking_uri, versions[0])
    assert champion(tracking_uri, versions[0].name) == versions[0]
    assert "previous_champion" not in tags(tracking_uri, versions[0])


def test_a_champion_remembers_whom_it_replaced(tracking_uri: str, versions: list[Version]) -> None:
    for version in versions:
        make_champion(tracking_uri, version)
    assert aliases(tracking_uri, versions[0].name) == {"champion": 2}
    assert tags(tracking_uri, versions[1])["previous_champion"] == "1"


def test_a_challenger_that_wins_is_challenger_no_more(tracking_uri: str, versions: list[Version]) -> None:
    old, new = versions
    make_champion(tracking_uri, old)
    make_challenger(tracking_uri, new)
    assert aliases(tracking_uri, new.name) == {"champion": 1, "challenger": 2}
    make_champion(tracking_uri, new)
    assert aliases(tracking_uri, new.name) == {"champion": 2}


def test_another_challenger_keeps_its_alias(tracking_uri: str, versions: list[Version]) -> None:
    old, new = versions
    make_challenger(tracking_uri, old)
    make_champion(tracking_uri, new)
    assert aliases(tracking_uri, new.name) == {"champion": 2, "challenger": 1}


def test_a_version_is_found_by_its_number(tracking_uri: str, versions: list[Version]) -> None:
    assert [find_version(tracking_uri, version.name, version.number) for version in versions] == versions


def test_a_version_that_is_not_there_is_an_error(tracking_uri: str, versions: list[Version]) -> None:
    with pytest.raises(RegistryError, match=r"version=99.* not found"):
        find_version(tracking_uri, versions[0].name, 99)


def test_a_version_somebody_else_registered_is_refused(tracking_uri: str, versions: list[Version]) -> None:
    client = MlflowClient(tracking_uri, tracking_uri)
    foreign = client.create_model_version(versions[0].name, versions[0].source, versions[0].run_id)
    client.set_registered_model_alias(foreign.name, "champion", str(foreign.version))
    with pytest.raises(RegistryError, match=r"version 3 of .* was not registered by churnops"):
        champion(tracking_uri, foreign.name)


def test_a_fetched_bundle_is_the_registered_one(settings: Settings, versions: list[Version]) -> None:
    for version in versions:
        with fetched_bundle(settings.mlflow_uri, version) as folder:
            assert read_bundle(folder).manifest.content_hash == version.content_hash
        assert not folder.exists()


def test_a_fetched_bundle_lies_nowhere_that_a_tag_says(settings: Settings, versions: list[Version]) -> None:
    before = sorted(settings.data_dir.rglob("*"))
    for path in ("../victim", str(settings.data_dir)):
        with fetched_bundle(settings.mlflow_uri, replace(versions[0], model_version=path)) as folder:
            assert not folder.is_relative_to(settings.data_dir)
    assert sorted(settings.data_dir.rglob("*")) == before


def stored(version: Version, settings: Settings) -> Path:
    return settings.data_dir / "mlartifacts" / version.name / version.run_id / "artifacts/bundle"


def test_a_bundle_swapped_in_the_store_is_refused(
    settings: Settings, versions: list[Version], tmp_path: Path
) -> None:
    old, new = versions
    stored(old, settings).rename(tmp_path / "away")
    stored(new, settings).rename(stored(old, settings))
    with (
        pytest.raises(BundleError, match=f"not {old.model_version}"),
        fetched_bundle(settings.mlflow_uri, old),
    ):
        pytest.fail("it was fetched")


def test_a_bundle_gone_from_the_store_is_an_error(
    settings: Settings, versions: list[Version], tmp_path: Path
) -> None:
    stored(versions[0], settings).rename(tmp_path / "away")
    with (
        pytest.raises(RegistryError, match="bundle"),
        fetched_bundle(settings.mlflow_uri, versions[0]),
    ):
        pytest.fail("it was fetched")


@pytest.mark.parametrize("text", ["", "{", '{"candidate": "torch", "parity": "small"}', '{"unknown": 1}'])
def test_evidence_that_cannot_be_read_is_none(text: str, tracking_uri: str, versions: list[Version]) -> None:
    client = MlflowClient(tracking_uri, tracking_uri)
    client.set_model_version_tag(versions[0].name, str(versions[0].number), "evidence", text)
    assert recorded_evidence(tracking_uri, versions[0]) is None

"""What is decided in the registry is what servers answer with, and nobody who asks notices the change."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from builders import COLUMNS, make_bundle
from comparisons import NOON, make_comparison
from fastapi.testclient import TestClient
from served import ARROW, arrow
from structlog.testing import capture_logs

from churnops.bundle.bundle import read_bundle, write_bundle
from churnops.config import Settings
from churnops.errors import RegistryError
from churnops.jobs import trials
from churnops.jobs.bundles import bundle_folder
from churnops.jobs.rollback import roll_back
from churnops.registry.aliases import Version, make_champion
from churnops.registry.audit_log import verify
from churnops.registry.client import connect
from churnops.registry.tracking import CandidateRun, record
from churnops.serving.app import create_app
from churnops.serving.cache import Cache
from churnops.serving.follow import Follower
from churnops.serving.metrics import ROWS, Meter
from churnops.serving.model import Served
from churnops.serving.registered import registry_at

SINCE = re.compile(r" \(since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\)$")
GOOD = {"tenure months": 12, "spend.30d": 35, "class": 1, '1st "plan"': "pro", "city_tier": "2"}


class Place:
    """A registry with versions of one model, and servers that follow it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder, self.name = settings, folder, folder.name

    def register(self, *changed, drop=(), **fields) -> Version:
        """A version like `COLUMNS`, but for the columns that are given."""
        new = {column.name: column for column in changed}
        inputs = [new.pop(column.name, column) for column in COLUMNS if column.name not in drop]
        inputs = sorted([*inputs, *new.values()], key=lambda column: column.kind != "numeric")
        bundle = make_bundle(inputs, name=self.name, candidate="torch", **fields)
        mark = len(list(self.folder.glob("bundle-*")))
        written = write_bundle(bundle, self.folder / f"bundle-{mark}")
        plain = {"candidates": (CandidateRun("torch", {}),), "files": (), "bundle": written}
        return record(make_comparison(self.folder, mark / 1000, **plain), self.settings).version

    def promote(self, version: Version) -> None:
        make_champion(self.settings.mlflow_uri, version)

    def follower(self, uri: str = "", alias: str = "champion") -> Follower:
        """A server, as it starts."""
        cache = Cache(self.settings.data_dir / "serving" / self.name)
        return Follower(self.name, alias, registry_at(uri or self.settings.mlflow_uri), cache)

    def trying(self) -> Follower:
        """A server that has begun the trial that was ordered."""
        server = self.follower()
        server.look()
        return server

    def start(self, version: Version, share: float = 0.5, *, shadow: bool = False) -> None:
        order = trials.Order(self.name, version.number, share, shadow)
        trials.start(order, self.settings, at=NOON, actor="anna")


@pytest.fixture
def place(tracking_uri, tmp_path) -> Place:
    return Place(Settings(data_dir=tmp_path / "our data", tracking_uri=tracking_uri), tmp_path)


def steeper(factor: float):
    """A column by which scores move that much more."""
    column = COLUMNS[0]
    return column.model_copy(update={"maximum": column.maximum / factor})


def failing():
    """Two columns that make a model overflow for every customer but the one it is tried with."""
    return [column.model_copy(update={"minimum": 0, "maximum": 1.2e-38}) for column in COLUMNS[:2]]


def ask(server: Follower, *ids, status: int = 200, **changes):
    """The scores for customers with these ids."""
    customers = [GOOD | changes | ({"customer_id": one} if one is not None else {}) for one in ids or [None]]
    body = msgspec.json.encode({"customers": customers})
    answer = server.models.answer(server.models.current, body)
    assert answer.status == status, answer.body
    return json.loads(answer.body).get("scores")


def version_of(server: Follower) -> str:
    return server.models.current.model_version


def test_a_new_champion_answers_after_the_next_look(place):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    server = place.follower()
    assert server.models.state == {"registry": "followed"}
    begun = server.models.current
    (before,) = ask(server)
    place.promote(new)
    server.look()
    (after,) = ask(server)
    assert (before["model_version"], after["model_version"]) == (old.model_version, new.model_version)
    assert before["score"] != after["score"]
    assert server.models.counts["swap"] == 1
    body = msgspec.json.encode({"customers": [GOOD]})
    late = json.loads(server.models.answer(begun, body).body)["scores"][0]
    assert (late["model_version"], late["score"]) == (before["model_version"], before["score"])


def test_a_rollback_brings_back_the_champion_before_and_is_written_down(place):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    place.promote(new)
    server = place.follower()
    left, now = roll_back(place.name, place.settings, at=NOON, actor="anna")
    assert (left.model_version, now.model_version) == (new.model_version, old.model_version)
    server.look()
    assert version_of(server) == old.model_version
    log = place.settings.data_dir / "audit.jsonl"
    told = json.loads(log.read_text())
    assert (told["decision"], told["version"]["number"]) == ("rolled back", old.number)
    assert verify(log) is None
    with pytest.raises(RegistryError, match="first champion"):
        roll_back(place.name, place.settings, at=NOON, actor="anna")


@pytest.mark.parametrize("tried", [0, 1])
def test_who_was_champion_is_tried_no_longer_after_a_rollback(place, tried):
    versions = place.register(), place.register(steeper(2))
    place.promote(versions[1 - tried])
    place.start(versions[tried])
    place.promote(versions[0])
    place.promote(versions[1])
    roll_back(place.name, place.settings, at=NOON, actor="anna")
    assert trials.status(place.name, place.settings)[1] == "it became the champion"
    server = place.trying()
    assert version_of(server) == versions[0].model_version
    assert server.models.trial is None
    server.close()


def test_how_a_trial_stands_is_read_without_mlflow(place):
    place.promote(place.register())
    place.start(place.register(steeper(2)))
    code = (
        "import sys\nfrom churnops.config import Settings\nfrom churnops.jobs import rollback, trials\n"
        "trials.status(sys.argv[3], Settings(data_dir=sys.argv[1], tracking_uri=sys.argv[2]))\n"
        "print(*{'mlflow', 'sqlalchemy', 'pandas', 'duckdb', 'fastapi'}.intersection(sys.modules))"
    )
    its = [str(place.settings.data_dir), place.settings.mlflow_uri, place.name]
    done = subprocess.run([sys.executable, "-c", code, *its], check=True, capture_output=True, text=True)
    assert done.stdout == "\n"


def test_nobody_to_go_back_from_is_said(place):
    with pytest.raises(RegistryError, match="has no champion"):
        roll_back("nobody", place.settings, at=NOON, actor="anna")


def test_without_a_registry_the_last_good_model_serves(place, tmp_path):
    place.promote(place.register())
    place.follower()
    server = place.follower(f"sqlite:///{tmp_path}/gone.db")
    assert ask(server)
    assert SINCE.sub("", server.models.state["registry"]) == "not followed, serving the last good model"
    assert server.models.counts["registry_failure"] == 1


def test_a_registry_that_goes_away_is_borne_and_taken_up_again(place, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    away = tmp_path / "away.db"
    copied = Path(place.settings.mlflow_uri.removeprefix("sqlite:///"))
    place.promote(place.register())
    Path(tmp_path, "mlflow.db").write_bytes(copied.read_bytes())
    server = place.follower(uri)
    Path(tmp_path, "mlflow.db").rename(away)
    server.look()
    assert ask(server)
    assert server.models.counts["registry_failure"] == 1
    away.rename(tmp_path / "mlflow.db")
    server.look()
    assert server.models.state == {"registry": "followed"}


def test_a_server_without_registry_and_cache_does_not_start(place, tmp_path):
    with pytest.raises(RegistryError, match=r"gone\.db"):
        place.follower(f"sqlite:///{tmp_path}/gone.db")
    place.register()
    with pytest.raises(RegistryError, match=r"holds no champion of .*: nothing was run yet"):
        place.follower()
    place.promote(place.register())
    with pytest.raises(RegistryError, match=r"holds no challenger2 of .*: it knows champion$"):
        place.follower(alias="challenger2")


def test_a_corrupt_bundle_is_refused_until_it_is_whole(place):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    server = place.follower()
    model = Path(new.source.removeprefix("file://").replace("%20", " "), "model.onnx")
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    place.promote(new)
    with capture_logs() as logs:
        server.look()
    assert version_of(server) == old.model_version
    assert logs[0]["refused"] == "version 2 was refused"
    assert "SHA-256" in logs[0]["why"]
    assert SINCE.sub("", server.models.state["refused"]) == "version 2 was refused"
    assert server.models.counts["refused_bundle"] == 1
    server.look()
    assert server.models.counts["refused_bundle"] == 1  # not at every look
    model.write_bytes(whole)
    server._again.clear()
    server.look()
    assert version_of(server) == new.model_version
    assert "refused" not in server.models.state


def test_a_champion_is_found_by_its_name_without_mlflow(place):
    place.register()
    with pytest.raises(RegistryError, match=f"{place.name} has no champion that can be had: either nothing"):
        bundle_folder(place.settings, place.name, None)
    version = place.register(steeper(2))
    place.promote(version)
    code = (
        "import sys\nfrom pathlib import Path\nimport churnops.jobs.serve\n"
        "from churnops.config import Settings\nfrom churnops.jobs.bundles import bundle_folder\n"
        "settings = Settings(data_dir=sys.argv[1], tracking_uri=sys.argv[2])\n"
        "print(bundle_folder(settings, sys.argv[3], None))\n"
        "print(*{'mlflow', 'sqlalchemy', 'pandas', 'duckdb'}.intersection(sys.modules))"
    )
    place_of_it = [str(place.settings.data_dir), place.settings.mlflow_uri, place.name]
    done = subprocess.run(
        [sys.executable, "-c", code, *place_of_it], check=True, capture_output=True, text=True
    )
    folder, heavy = done.stdout.split("\n")[:2]
    assert heavy == ""
    assert read_bundle(Path(folder)).manifest.content_hash == version.content_hash


def test_bundles_of_champions_of_long_ago_make_room(place):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    first = bundle_folder(place.settings, place.name, None)
    before = [first, *(first.with_name(str(n)) for n in range(6))]
    for n, folder in enumerate(before):
        folder.mkdir(exist_ok=True)
        os.utime(folder, (n, n))
    place.promote(new)
    fetched = bundle_folder(place.settings, place.name, None)
    assert {*first.parent.iterdir()} == {*before[3:], fetched}


def test_a_damaged_cache_is_fetched_again(place):
    version = place.register()
    place.promote(version)
    server = place.follower()
    folder = server._cache.folder_of(version.content_hash)
    (folder / "model.onnx").write_bytes(b"")
    assert version_of(place.follower()) == version_of(server)
    assert read_bundle(folder).manifest.content_hash == version.content_hash


def test_a_refusal_is_said_as_long_as_it_lasts(place):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    server = place.follower()
    model = Path(new.source.removeprefix("file://").replace("%20", " "), "model.onnx")
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    for version, refused in ((new, True), (old, False), (new, True), (new, True), (old, False)):
        place.promote(version)
        server.look()
        assert ("refused" in server.models.state) is refused
    model.write_bytes(whole)
    place.promote(new)  # again: nobody waits for the next try
    server.look()
    assert version_of(server) == new.model_version
    assert server.models.state == {"registry": "followed"}


def test_a_challenger_that_is_refused_is_said_as_long_as_it_is_tried(place):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    server = place.follower()
    Path(new.source.removeprefix("file://").replace("%20", " "), "model.onnx").write_bytes(b"")
    place.start(new)
    for _ in range(3):
        server.look()
        assert SINCE.sub("", server.models.state["trial"]) == "version 2 was refused"
    assert server.models.counts["refused_bundle"] == 1


class Broken:
    """A registry that fails as nobody foresaw."""

    def standing(self, name: str):
        raise ZeroDivisionError(f"{name} / 0")


def test_whatever_goes_wrong_the_following_goes_on_and_says_so(place):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    server = place.follower()
    sound, server._registry = server._registry, Broken()
    with capture_logs() as logs:
        server.look()
        server.look()
    (told,) = logs  # once, with its trace
    assert isinstance(told["exc_info"], ZeroDivisionError)
    assert SINCE.sub("", server.models.state["following"]) == "failing"
    assert server.models.counts["following_failure"] == 2
    server._registry = sound
    place.promote(new)
    server.look()
    assert version_of(server) == new.model_version
    assert server.models.state == {"registry": "followed"}


def test_a_bundle_that_breaks_its_reader_is_refused(place):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    server = place.follower()

    def read(folder: Path):
        raise ZeroDivisionError(folder)

    server._cache._read = read
    place.promote(new)
    with capture_logs() as logs:
        server.look()
    assert version_of(server) == old.model_version
    assert isinstance(logs[0]["exc_info"], ZeroDivisionError)
    assert SINCE.sub("", server.models.state["refused"]) == "version 2 was refused"


def test_what_anybody_may_read_names_no_place(place, tmp_path):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    place.follower()
    Path(new.source.removeprefix("file://").replace("%20", " "), "model.onnx").unlink()
    place.start(new)
    trials.stop(place.name, place.settings, shadow=False, at=NOON, actor="anna")
    place.promote(new)
    for server in (place.trying(), place.follower(f"sqlite:///{tmp_path}/gone.db")):
        said = str(server.models.state)
        assert "/" not in said
        assert "anna" not in said


def test_a_folder_that_cannot_be_written_is_no_trouble_without_a_trial(place):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    place.start(new)
    trials.stop(place.name, place.settings, shadow=False, at=NOON, actor="anna")
    server = place.trying()
    server.close()
    slots = list(server._cache.folder.glob(".slot-*"))
    assert not slots


@pytest.mark.parametrize("tag", ["model_version", "content_hash"])
@pytest.mark.parametrize("text", ["../../../victim", "{victim}", "", "x" * 300])
def test_a_tag_of_the_registry_is_no_path(place, tag, text):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    server = place.follower()
    victim = place.settings.data_dir.parent / "victim"
    for folder in (victim, place.settings.data_dir / "victim", server._cache.folder.parent / "victim"):
        folder.mkdir()
        (folder / "mine").touch()
    with connect(place.settings.mlflow_uri) as client:
        client.set_model_version_tag(place.name, str(new.number), tag, text.format(victim=victim))
    place.promote(new)
    server.look()
    assert version_of(server) == old.model_version
    assert "refused" in server.models.state
    assert len(list(place.folder.glob("**/victim/mine"))) == 3


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"nullable": False}, "may be missing no longer"),
        ({"name": "else"}, "'else' is new and may not be missing"),
        ({"kind": "categorical", "minimum": None, "maximum": None}, "was numeric and is categorical"),
        ({"name": "notes"}, "was ignored and may be anything"),
    ],
)
def test_a_model_that_would_refuse_what_callers_send_is_refused(place, change, fault):
    old, nullable = place.register(), change.get("nullable", "name" not in change)
    column = COLUMNS[1].model_copy(update={"nullable": nullable} | change)
    ignored = () if column.name == "notes" else ("notes",)
    new = place.register(column, ignored_columns=ignored)
    place.promote(old)
    server = place.follower()
    place.promote(new)
    server.look()
    assert version_of(server) == old.model_version
    assert fault in server._told["refused"][1]
    assert version_of(place.follower()) == old.model_version  # after a restart, too


def test_a_column_the_new_model_does_not_take_may_still_be_sent(place):
    old, new = place.register(), place.register(drop=["class"])
    place.promote(old)
    server = place.follower()
    place.promote(new)
    server.look()
    assert ask(server)[0]["model_version"] == new.model_version
    assert ask(place.follower())[0]["model_version"] == new.model_version


def test_a_canary_answers_the_same_share_of_the_customers_ever_again(place):
    old, new = place.register(), place.register(steeper(1.01))
    place.promote(old)
    place.start(new, 0.3)
    server = place.trying()
    by = {one: ask(server, one)[0]["model_version"] for one in range(1000)}
    assert set(by.values()) == {old.model_version, new.model_version}
    assert 250 < list(by.values()).count(new.model_version) < 350
    assert all(ask(server, one)[0]["model_version"] == version for one, version in by.items())
    assert {row["model_version"] for row in ask(server, *range(100))} == {old.model_version}
    assert len({ask(server)[0]["model_version"] for _ in range(100)}) == 2  # without an id: any request
    assert "as canary, share 0.3" in server.models.state["trial"]
    trial = server.models.trial
    server.close()
    assert server.models.trial is trial


@pytest.mark.parametrize(
    ("columns", "why"), [(failing(), "errors"), ([steeper(400)], "scores: more")], ids=["errors", "shift"]
)
def test_a_harmful_canary_stops_and_stays_stopped(place, columns, why):
    old, new = place.register(), place.register(*columns)
    place.promote(old)
    place.start(new)
    server = place.trying()
    trial = server.models.trial
    answers = [ask(server, one)[0]["model_version"] for one in range(1000)]  # none is an error
    assert (new.model_version in answers) == (why != "errors")
    trial.close()
    assert server.models.trial is None
    assert server.models.counts["canary_stop"] == 1
    assert {ask(server, one)[0]["model_version"] for one in range(100)} == {old.model_version}
    assert why in trials.status(place.name, place.settings)[1]
    again = place.trying()
    assert again.models.trial is None
    assert SINCE.sub("", again.models.state["trial"]) == f"version {new.number} was stopped"
    assert why in again._told["trial"][1]


def test_a_canary_is_stopped_by_hand_and_begun_again(place):
    old, new = place.register(), place.register(steeper(1.01))
    place.promote(old)
    place.start(new)
    server = place.trying()
    assert server.models.trial
    trials.stop(place.name, place.settings, shadow=False, at=NOON, actor="anna")
    server.look()
    assert server.models.trial is None
    assert "was stopped" in server.models.state["trial"]
    assert "by anna" in server._told["trial"][1]
    trials.start(
        trials.Order(place.name, new.number, 1.0, False),
        place.settings,
        at=NOON.replace(hour=13),
        actor="anna",
    )
    server.look()
    assert ask(server, 1)[0]["model_version"] == new.model_version
    place.promote(new)
    server.look()
    assert server.models.trial is None
    server.close()


def test_how_a_test_stands_is_taken_up_after_a_restart(place):
    place.promote(place.register())
    place.start(place.register(*failing()))
    server = place.trying()
    trial = server.models.trial
    for one in range(4):
        ask(server, one)
    server.close()
    stood = trial._test.log_wealth_KL
    assert stood.any()
    again = place.trying()
    assert (again.models.trial._test.log_wealth_KL == stood).all()
    again.close()


@pytest.mark.parametrize(("kept", "why"), [(b"it harms \xff", "it harms \ufffd"), (b"", "stopped")])
def test_a_canary_stays_stopped_whatever_was_written_of_why(kept, why, place):
    place.promote(place.register())
    place.start(place.register(steeper(2)))
    plan, _ = trials.status(place.name, place.settings)
    folder = place.settings.data_dir / "serving" / place.name / "canary"
    folder.mkdir(parents=True)
    (folder / f"{plan.id}.stopped").write_bytes(kept)
    server = place.trying()
    assert server.models.trial is None
    assert server._told["trial"][1] == why
    assert server.models.counts["following_failure"] == 0


@pytest.mark.parametrize("shadow", [False, True])
def test_a_trial_goes_on_beside_a_new_champion_that_takes_one_more_column(place, shadow):
    fresh = COLUMNS[1].model_copy(update={"name": "fresh"})
    old, tried, new = place.register(), place.register(steeper(1.01)), place.register(fresh)
    place.promote(old)
    place.start(tried, 0.9, shadow=shadow)
    server = place.trying()
    before = server.models.trial
    for one in range(50):
        ask(server, one)
    place.promote(new)
    server.look()
    trial = server.models.trial
    if not shadow:
        assert (trial._test.log_wealth_KL == before._test.log_wealth_KL).all()
        assert trial._test.log_wealth_KL.any()
    by = {row["model_version"] for one in range(200) for row in ask(server, one, fresh=2)}
    assert by == {new.model_version, *([] if shadow else [tried.model_version])}
    server.close()
    assert server.models.trial is trial
    assert server.models.counts["trial_error"] == server.models.counts["canary_stop"] == 0
    if shadow:
        _, found = trials.report(place.name, place.settings)
        assert found.failures == 0
        assert found.compared > 200


def test_a_trial_that_was_stopped_here_does_not_begin_beside_a_new_champion(place):
    old, tried, new = place.register(), place.register(steeper(2)), place.register(steeper(3))
    place.promote(old)
    place.start(tried, shadow=True)
    server = place.trying()
    server.models.trial.stop("nobody watches it")
    place.promote(new)
    server.look()
    assert version_of(server) == new.model_version
    assert server.models.trial is None
    assert SINCE.sub("", server.models.state["trial"]) == f"version {tried.number} was stopped"
    server.close()


def test_a_shadow_only_watches_and_its_differences_are_reported(place):
    old, new = place.register(), place.register(steeper(40))
    place.promote(old)
    place.start(new, 1.0, shadow=True)
    server = place.trying()
    answers = [row for _ in range(10) for row in ask(server, *range(5))]
    answers += [row for one in range(20) for row in ask(server, one)]
    assert {row["model_version"] for row in answers} == {old.model_version}
    server.close()
    _, found = trials.report(place.name, place.settings)
    (own,) = read_bundle(place.folder / "bundle-1").score_rows([GOOD])
    assert (found.compared, found.failures, found.dropped) == (70, 0, 0)
    assert found.mean == pytest.approx(own - answers[0]["score"], abs=1e-6)
    assert found.largest == pytest.approx(abs(found.mean)) == pytest.approx(found.mean_absolute)
    assert found.flips == (70 if (own >= 0.5) != answers[0]["decision"] else 0)
    written = "".join(path.read_text() for path in (server._cache.folder / "shadow").iterdir())
    assert {row["prediction_id"] for row in answers} == {
        json.loads(line)["prediction_id"] for line in written.splitlines()
    }
    assert "customer" not in written


def _csv(customers, *, header=True):
    lines = [
        ",".join(f'"{name}"'.replace('"1st "plan""', '"1st ""plan"""') for name in customers[0])
    ] * header
    return "\n".join([*lines, *(",".join(map(str, one.values())) for one in customers)]).encode()


FORMS = {
    "application/json": lambda customers: json.dumps(customers).encode(),
    "application/jsonlines": lambda customers: b"\n".join(json.dumps(one).encode() for one in customers),
    "text/csv; header=present": _csv,
    ARROW: lambda customers: arrow(pa.Table.from_pylist(customers)),
}


def invoke(client, content_type, customers):
    content = FORMS[content_type](customers)
    headers = {"content-type": content_type, "accept": "application/json"}
    return client.post("/invocations", content=content, headers=headers).json()["scores"]


def infer(client, customers, version=""):
    kinds = {float: "FP64", int: "FP64", str: "BYTES"}
    inputs = [
        {"name": name, "shape": [len(customers)], "datatype": kinds[type(value)]}
        | {"data": [one[name] for one in customers]}
        for name, value in customers[0].items()
    ]
    path = f"/v2/models/{client.get('/v1/model').json()['name']}{version}/infer"
    return client.post(path, json={"inputs": inputs}).json()


@pytest.mark.parametrize("form", FORMS)
def test_a_canary_answers_the_same_customers_in_every_form(place, form):
    old, new = place.register(), place.register(steeper(1.01))
    place.promote(old)
    place.start(new, 0.5)
    server = place.trying()
    customers = [GOOD | {"customer_id": one} for one in range(40)]
    with TestClient(create_app(server.models)) as client:
        theirs = [invoke(client, form, [one])[0]["model_version"] for one in customers]
        together = invoke(client, form, customers)
    assert set(theirs) == {old.model_version, new.model_version}
    assert theirs == [ask(server, one)[0]["model_version"] for one in range(40)]
    assert {one["model_version"] for one in together} == {old.model_version}
    server.close()


def test_a_csv_is_for_the_current_model_where_the_other_has_other_columns(place):
    old, new = place.register(), place.register(drop=["class"])
    place.promote(old)
    place.start(new, 0.9)
    server = place.trying()
    customers = [GOOD | {"customer_id": one} for one in range(20)]
    with TestClient(create_app(server.models)) as client:
        given = [invoke(client, "text/csv; header=present", [one])[0] for one in customers]
    assert {one["model_version"] for one in given} == {old.model_version}
    assert server.models.counts["trial_error"] == 0
    server.close()


def test_tensors_are_drawn_unless_they_name_a_version(place):
    old, new = place.register(), place.register(steeper(1.01))
    place.promote(old)
    place.start(new, 0.5)
    server = place.trying()
    with TestClient(create_app(server.models)) as client:
        drawn = {infer(client, [GOOD])["model_version"] for _ in range(60)}
        named = {infer(client, [GOOD], f"/versions/{old.model_version}")["model_version"] for _ in range(60)}
    assert drawn == {old.model_version, new.model_version}
    assert named == {old.model_version}
    server.close()


def test_a_shadow_watches_every_form(place):
    old, new = place.register(), place.register(steeper(40))
    place.promote(old)
    place.start(new, 1.0, shadow=True)
    server = place.trying()
    with TestClient(create_app(server.models)) as client:
        given = [one for form in FORMS for one in invoke(client, form, [GOOD | {"customer_id": 1}] * 3)]
        assert {one["model_version"] for one in given} == {old.model_version}
        infer(client, [GOOD] * 2)
    server.close()
    _, found = trials.report(place.name, place.settings)
    assert (found.compared, found.failures, found.dropped) == (3 * len(FORMS) + 2, 0, 0)
    assert found.mean_absolute == pytest.approx(abs(found.mean)) != 0


def test_what_a_canary_answered_is_counted_as_its_own(place):
    place.promote(place.register())
    new = place.register(steeper(1.01))
    place.start(new, 0.9)
    meter = Meter()
    cache = Cache(
        place.settings.data_dir / "serving" / place.name,
        make=lambda bundle, names: Served(bundle, names=names, note=meter.scored),
    )
    server = Follower(place.name, "champion", registry_at(place.settings.mlflow_uri), cache)
    server.look()
    answered = [ask(server, one)[0]["model_version"] for one in range(50)]
    assert meter.samples()[ROWS.name, (new.model_version,)] == [answered.count(new.model_version)]


@pytest.mark.parametrize("shadow", [False, True])
def test_a_trial_that_is_watched_no_more_ends(place, shadow):
    old, new = place.register(), place.register(steeper(2))
    place.promote(old)
    place.start(new, 1.0, shadow=shadow)
    server = place.trying()

    def compare(seen):
        raise ZeroDivisionError(seen)

    server.models.trial.compare = compare
    with capture_logs() as logs:
        ask(server, 1)
        server._trial._thread.join(timeout=10)
    assert isinstance(logs[0]["exc_info"], ZeroDivisionError)
    assert server.models.trial is None
    assert ask(server, 1)[0]["model_version"] == old.model_version
    server.look()
    assert SINCE.sub("", server.models.state["trial"]) == f"version {new.number} was stopped"
    server.close()


def test_a_shadow_that_cannot_score_is_counted(place):
    place.promote(place.register())
    place.start(place.register(*failing()), 1.0, shadow=True)
    server = place.trying()
    ask(server, 1, 2)
    server.close()
    assert trials.report(place.name, place.settings)[1].failures == 2
    assert server.models.counts["trial_error"] == 1


def test_what_cannot_be_tried_is_said(place):
    with pytest.raises(RegistryError, match=r"nothing is tried .*: churnops canary start nobody"):
        trials.status("nobody", place.settings)
    with pytest.raises(RegistryError, match=r"nothing is tried .*: churnops shadow start nobody"):
        trials.report("nobody", place.settings)
    version = place.register()
    place.promote(version)
    with pytest.raises(RegistryError, match="has no challenger"):
        trials.start(trials.Order(place.name, None, 0.1, False), place.settings, at=NOON, actor="anna")
    with pytest.raises(RegistryError, match="is the champion: name another"):
        place.start(version)


def test_one_trial_at_a_time(place):
    place.promote(place.register())
    other = place.register(steeper(2))
    ends = {"settings": place.settings, "at": NOON, "actor": "anna"}
    place.start(other)
    place.start(other, 0.7)  # the same again, with a larger share
    with pytest.raises(RegistryError, match=rf"a canary of version 2 .*churnops canary stop {place.name}"):
        place.start(other, shadow=True)
    with pytest.raises(RegistryError, match="there is no shadow: a canary of version 2 goes on"):
        trials.stop(place.name, shadow=True, **ends)
    with pytest.raises(RegistryError, match="there is no shadow: a canary"):
        trials.report(place.name, place.settings)
    trials.stop(place.name, shadow=False, **ends)
    with pytest.raises(RegistryError, match=r"there is no shadow: the last trial of .* was a canary"):
        trials.stop(place.name, shadow=True, **ends)
    place.start(other, shadow=True)
    assert trials.status(place.name, place.settings)[0].shadow

"""The command line: what it says of faults, and that nothing heavy is imported to say it."""

import subprocess
import sys
from pathlib import Path

import pytest
from builders import make_bundle
from command import ROOT
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from churnops import cli
from churnops.bundle.bundle import read_bundle, write_bundle
from churnops.bundle.manifest import InputColumn
from churnops.config import load_toml
from churnops.data_config import DataConfig
from churnops.features.definitions import feature_hash, taken
from churnops.serving.access import Keys
from churnops.serving.protection import Protection

VERBS = (
    "data",
    "init",
    "horizon",
    "features",
    "run",
    "train",
    "tune",
    "report",
    "score",
    "serve",
    "key",
    "sign",
    "promote",
    "rollback",
    "canary",
    "shadow",
    "publish",
    "lake",
)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHURNOPS_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.delenv("CHURNOPS_SOURCE_DIR", raising=False)


def call(monkeypatch, capsys, *words):
    """The exit code, standard output and standard error of one command, in this process."""
    monkeypatch.setattr(sys, "argv", ["churnops", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    written = capsys.readouterr()
    return stopped.value.code or 0, written.out, written.err


def test_help_names_every_verb():
    said = CliRunner().invoke(cli.app, ["--help"]).output

    assert all(verb in said for verb in VERBS)
    commands = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert set(VERBS) == commands | {group.name for group in cli.app.registered_groups}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(verb):
    answer = CliRunner().invoke(cli.app, [verb, "--help"])

    assert answer.exit_code == 0
    assert "Usage" in answer.output


def test_help_says_each_verb_in_one_line():
    said = CliRunner().invoke(cli.app, ["--help"], env={"COLUMNS": "80"}).output

    assert "..." not in said.partition("Commands")[2]


@pytest.mark.parametrize(
    ("verb", "shown"),
    [
        ("init", "[default: configs/data/<name>.toml]"),
        ("init", "[default: made from the path]"),
        ("score", "here or on S3. [default: var/scores/<name>/as_of=<date>.parquet]"),
        ("score", "<name>/scores/as_of=<date>,"),
    ],
)
def test_help_shows_where_results_go_and_what_stands_in_brackets(verb, shown):
    said = CliRunner().invoke(cli.app, [verb, "--help"], env={"COLUMNS": "80"}).output

    assert shown in " ".join(said.split())


def test_help_imports_no_library_of_the_jobs():
    heavy = [
        "duckdb",
        "torch",
        "lightgbm",
        "mlflow",
        "sklearn",
        "onnxruntime",
        "pyarrow",
        "numpy",
        "matplotlib",
        "fastapi",
        "pydantic",
    ]
    code = f"import sys, churnops.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "nosuch.toml"], 2, "nosuch.toml:\n  - no such file"),
        (["run", "nosuch.toml", "--frameworks", "torch, lightgbm"], 2, "nosuch.toml:\n  - no such file"),
        (["features", "nosuch.toml", "--out", "S3://b/x.parquet"], 2, "x.parquet:\n  - is neither a file"),
        (["init", "nosuch.csv", "--yes"], 2, "nosuch.csv"),
        (["report", "empty.toml"], 2, "name: Field required"),
        (["serve", "nobody"], 3, "nobody has no champion that can be had: nothing was run yet (there is no "),
        (["serve", "nobody"], 3, "var/mlflow.db)\n"),
        (["serve", "refused"], 3, "var/mlflow.db); to use the last run's all the same: --bundle "),
        (["serve", "refused"], 3, "runs/refused/bundle\n"),
        (["promote", "nobody", "1"], 3, "nobody"),
    ],
)
def test_a_fault_is_told_in_words_with_its_exit_code(monkeypatch, capsys, tmp_path, words, code, message):
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "var/runs/refused/bundle").mkdir(parents=True)

    exit_code, _, told = call(monkeypatch, capsys, *words)

    assert exit_code == code
    assert message in told
    assert "Traceback" not in told


def test_a_misspelt_setting_is_an_error(monkeypatch, capsys):
    monkeypatch.setenv("CHURNOPS_DATADIR", "elsewhere")

    code, _, told = call(monkeypatch, capsys, "run", "any.toml")

    assert code == 2
    assert "CHURNOPS_DATADIR: no such setting" in told


def test_a_folder_that_mlflow_cannot_open_is_told_before_the_work(monkeypatch, capsys):
    monkeypatch.setenv("CHURNOPS_DATA_DIR", "100% of it")
    monkeypatch.delenv("CHURNOPS_TRACKING_URI", raising=False)

    code, _, told = call(monkeypatch, capsys, "run", "any.toml")

    assert code == 2
    assert "- CHURNOPS_TRACKING_URI: must be set where CHURNOPS_DATA_DIR has % or ? in its path: /" in told


@pytest.mark.parametrize("words", [[], ["shop", "--bundle", "b"], ["var/runs/shop/bundle"], ["shop.toml"]])
def test_serve_wants_a_name_or_a_bundle(monkeypatch, capsys, words):
    code, _, told = call(monkeypatch, capsys, "serve", *words)

    assert code == 2
    assert "--bundle" in told


def test_a_canary_is_a_version_or_a_variant(monkeypatch, capsys):
    code, _, told = call(monkeypatch, capsys, "canary", "start", "x", "--variant", "v7", "--version", "3")

    assert code == 2
    assert "not both" in told


def test_a_place_that_cannot_be_written_is_named(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("")

    code, _, told = call(monkeypatch, capsys, "data", "--out", "file/demo", "--customers", "100")

    assert code == 2
    assert "file/demo" in told


def test_a_day_that_is_not_in_the_lake_is_named_with_exit_code_2(monkeypatch, capsys, tmp_path):
    config = tmp_path / "shop.toml"
    config.write_text(
        'name = "shop"\nshape = "purchases"\n[transactions]\npath = "x.csv"\nformat = "csv"\nid = "c"\n'
        'time = { column = "t", format = "native" }\n[churn]\nhorizon_days = 30\nactive_days = 90\n'
    )
    (tmp_path / "var" / "lake").mkdir(parents=True)
    code, _, said = call(monkeypatch, capsys, "lake", "check", str(config), "--as-of", "2024-06-01")

    assert code == 2
    assert "churnops features CONFIG --as-of 2024-06-01" in said


def test_what_was_repaired_is_said(monkeypatch, capsys, tmp_path):
    (tmp_path / "club.csv").write_text("member,visits,left\n01,3,no\n02,9,yes\n,4,no\n")
    config = tmp_path / "club.toml"
    config.write_text(
        'name = "club"\nshape = "labelled"\n[customers]\npath = "club.csv"\nformat = "csv"\nid = "member"\n'
        'label = { column = "left", churned = ["yes"], stayed = ["no"] }\n'
        '[customers.columns]\nvisits = { role = "numeric" }\n'
    )
    hashed = feature_hash(taken(load_toml(DataConfig, config), ["visits"]))
    visits = InputColumn(name="visits", kind="numeric", nullable=True, text="")
    made = make_bundle([visits], name="club", shape="labelled", feature_hash=hashed)
    bundle = write_bundle(made, tmp_path / "bundle")

    for words in (["features", config], ["score", config, "--bundle", bundle]):
        code, said, _ = call(monkeypatch, capsys, *map(str, words))
        repair, done = said.splitlines()
        assert code == 0
        assert repair.startswith("1 rows of customers dropped: missing_id in 'member'; see ")
        assert repair.endswith("var/runs/club/scoring/clean/clean.json")
        assert done.startswith("2 ")


def test_a_new_key_is_shown_once_with_the_line_for_the_server(monkeypatch, capsys, tmp_path):
    code, said, _ = call(monkeypatch, capsys, "key", 'the "shop"')
    assert code == 0
    secret, line = said.split()[0], said.rpartition("reads: ")[2]
    (tmp_path / "serving.toml").write_text(f"[keys]\n{line}")
    keys = load_toml(Protection, tmp_path / "serving.toml").keys
    assert Keys(keys).caller(secret.encode()) == 'the "shop"'


@pytest.mark.parametrize("name", ["", "  ", "web\nadmin", "x" * 101])
def test_a_key_is_for_somebody_with_a_name(monkeypatch, capsys, name):
    code, said, told = call(monkeypatch, capsys, "key", name)
    assert code == 2
    assert "names no caller" in " ".join(told.replace("│", " ").split())
    assert said == ""


def test_outside_the_repository_a_missing_recipe_is_said_with_the_way_out(monkeypatch, capsys, tmp_path):
    config = (ROOT / "configs/data/telco.toml").read_bytes()
    monkeypatch.chdir(tmp_path)
    Path("shop.toml").write_bytes(config)
    code, _, told = call(monkeypatch, capsys, "run", "shop.toml", "--frameworks", "lightgbm")
    assert code == 2
    assert f"configs/train/mlp.toml:\n  - no such file in {tmp_path}: --recipe names another" in told


def test_a_bundle_is_signed(monkeypatch, capsys, tmp_path, tiny_bundle):
    folder = write_bundle(tiny_bundle, tmp_path / "bundle")
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    code, _, _ = call(monkeypatch, capsys, "sign", str(folder), "--key", str(tmp_path / "key.pem"))
    assert code == 0
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert read_bundle(folder, signed_by=public) == tiny_bundle

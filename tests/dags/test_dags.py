"""What the DAGs are, read as the DAG processor reads them, without a scheduler."""

import ast
import json
from pathlib import Path

import pytest
import typer
from airflow_environment import ROOT, environment, python

from churnops import cli

pytestmark = pytest.mark.airflow

FOLDER = ROOT / "dags"
FILES = ["churn_features.py", "churn_train.py", "churn_score.py", "churn_monitor.py"]
READING = Path(__file__).with_name("reading.py")


def read(home, **settings):
    """The DAGs with these settings."""
    return json.loads(python(READING, FOLDER, env=environment(home, **settings)).splitlines()[-1])


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return read(tmp_path_factory.mktemp("airflow"))


@pytest.fixture(scope="module")
def pods(tmp_path_factory):
    return read(tmp_path_factory.mktemp("airflow"), CHURN_RUNNER="kubernetes")


@pytest.mark.parametrize("name", FILES)
def test_a_dag_file_is_short_and_begins_with_what_it_is_for(name):
    text = (FOLDER / name).read_text()

    assert len(text.splitlines()) < 60
    assert ast.get_docstring(ast.parse(text))


def test_dags_know_nothing_of_churnops_but_its_command_line():
    trees = [ast.parse(path.read_text()) for path in FOLDER.glob("*.py")]
    imports = [
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {getattr(one, "module", None) or one.names[0].name for one in imports}

    assert names
    assert not any(name.split(".")[0] in {"churnops", "pandas", "torch", "pyspark"} for name in names)


def test_reading_them_is_quick_and_connects_to_nothing(local):
    assert local["errors"] == {}
    assert local["connected"] == []
    assert sorted(local["seconds"]) == sorted(FILES)
    assert max(local["seconds"].values()) < 1


def test_a_provider_is_imported_only_where_it_is_chosen(local, pods):
    operator = "airflow.providers.cncf.kubernetes.operators.pod"

    assert operator not in local["imported"]
    assert operator in pods["imported"]


@pytest.mark.parametrize("where", ["local", "pods"])
def test_every_task_gives_a_command_that_there_is(where, request):
    tasks = [
        task for dag in request.getfixturevalue(where)["dags"].values() for task in dag["tasks"].values()
    ]
    commands = typer.main.get_command(cli.app)

    for task in tasks:
        context, words = typer.Context(commands, info_name="churnops"), task["words"]
        name, command, rest = commands.resolve_command(context, words)
        context = command.make_context(name, rest, parent=context, resilient_parsing=name == "lake")
        if name == "lake":
            name, command, rest = command.resolve_command(context, rest)
            command.make_context(name, rest, parent=context)
    assert {task["words"][0] for task in tasks} == {"features", "run", "score", "lake"}


def test_each_stage_follows_the_one_before_it(local):
    chain = {name: dag["after"] for name, dag in local["dags"].items()}

    assert chain == {
        "churn_features_demo": [],
        "churn_train_demo": ["demo_features"],
        "churn_score_demo": ["demo_model"],
        "churn_monitor_demo": ["demo_scores"],
        "churn_overdue_demo": [],
    }


def test_every_task_ends_waits_its_turn_and_is_tried_again(local):
    dags = local["dags"].values()
    tasks = [task for dag in dags for task in dag["tasks"].values()]

    assert all(dag["max_active_runs"] == 1 and not dag["catchup"] for dag in dags)
    assert all(0 < task["minutes"] <= 720 and task["retries"] == 6 and task["backoff"] for task in tasks)
    assert {task["words"][0] for task in tasks if task["pool"] == "churnops"} == {"features", "run", "score"}


def test_a_pod_runs_the_same_words_as_the_one_its_template_describes(local, pods):
    for name, dag in pods["dags"].items():
        for task_id, task in dag["tasks"].items():
            pod = task["pod"]
            words = local["dags"][name]["tasks"][task_id]["words"]
            assert pod["command"] == ["churnops"]
            assert pod["args"][: len(words) - 2 if "--as-of" in words else None] == [
                word for word in words if word not in {"--as-of", "2024-06-01"}
            ]
            assert (pod["name"], pod["image"], pod["identity"]) == ("base", "churnops-jobs:0.1.0", "churnops")
            assert {"CHURNOPS_LAKE", "CHURNOPS_TRACKING_URI"} <= {one["name"] for one in pod["env"]}


def test_each_config_has_dags_of_its_own(tmp_path):
    found = read(tmp_path, CHURN_CONFIGS="configs/data/cdnow.toml, s/telco.toml")

    assert {name.rpartition("_")[2] for name in found["dags"]} == {"cdnow", "telco"}
    assert found["dags"]["churn_score_telco"]["tasks"]["score"]["words"][1] == "s/telco.toml"
    assert found["dags"]["churn_score_telco"]["after"] == ["telco_model"]


@pytest.mark.parametrize(
    ("setting", "messages"),
    [
        (
            {"CHURN_CONFIGS": "a/demo.toml, b/demo.toml, c.toml"},
            ["should have a file name of its own, for its DAGs: a/demo.toml and b/demo.toml\n"],
        ),
        ({"CHURN_CONFIGS": "a.toml,a.toml"}, ["CHURN_CONFIGS='a.toml,a.toml': ", "a.toml and a.toml"]),
        ({"CHURN_CONFIGS": ""}, ["CHURN_CONFIGS='': each should be a file named by letters, "]),
        (
            {
                "CHURN_RUNER": "secret",
                "CHURN_CONFIGS": "a.toml,my shop.toml",
                "CHURN_RUNNER": "ecs",
                "CHURN_SCHEDULE": "every day",
                "CHURN_CHECK_SCHEDULE": "0 8 31 2 *",
                "CHURN_DEADLINE_MINUTES": "9" * 20,
                "CHURN_TRAIN_EVERY_DAYS": "abc",
                "CHURN_TRAIN_OPTIONS": '--x "',
                "CHURN_RETRY_SECONDS": "-1",
                "CHURN_ALERT_URL": "ftp://x.example/secret",
            },
            [
                "CHURN_RUNER: no such setting; known: CHURN_ALERT_URL, ",
                "CHURN_CONFIGS='a.toml,my shop.toml': each should be a file named by letters, ",
                "not ['my shop.toml']",
                "CHURN_RUNNER='ecs': Input should be 'local' or 'kubernetes'",
                "CHURN_SCHEDULE='every day': should be a time of cron, such as '0 3 * * *', or empty: ",
                "CHURN_CHECK_SCHEDULE='0 8 31 2 *': should be a time of cron, ",
                f"CHURN_DEADLINE_MINUTES='{'9' * 20}': Input should be less than or equal to 525600",
                "CHURN_TRAIN_EVERY_DAYS='abc': Input should be a valid integer",
                "CHURN_TRAIN_OPTIONS='--x \"': should be words as a shell reads them: ",
                "CHURN_RETRY_SECONDS='-1': Input should be greater than or equal to 0",
                "CHURN_ALERT_URL='ftp://x....': URL scheme should be 'http' or 'https'",
            ],
        ),
    ],
)
def test_settings_that_cannot_be_are_an_error_that_airflow_shows(tmp_path, setting, messages):
    found = read(tmp_path, **setting)

    assert found["dags"] == {}
    assert {Path(name).name for name in found["errors"]} == set(FILES)
    for error in found["errors"].values():
        assert all(message in error for message in messages)
        assert "secret" not in error


def test_a_task_whose_worker_lacks_what_settings_name_fails_at_once_and_says_so(tmp_path):
    (tmp_path / "here.toml").touch()
    lost = read(tmp_path, CHURN_HOME="/nope", CHURN_COMMAND="bin/churnops")
    there = read(tmp_path, CHURN_HOME=str(tmp_path), CHURN_CONFIGS="here.toml,gone.toml")
    pods = read(tmp_path, CHURN_RUNNER="kubernetes", CHURN_POD_TEMPLATE="/nope.yaml", CHURN_HOME="/nope")

    assert refused(lost, "demo") == {
        "not on this worker: CHURN_HOME='/nope': should be a folder; "
        "CHURN_COMMAND='/nope/bin/churnops': should be a program; "
        "CHURN_CONFIGS='/nope/var/demo/demo.toml': should be a file"
    }
    assert refused(there, "here") == {""}
    assert refused(there, "gone") == {
        f"not on this worker: CHURN_CONFIGS='{tmp_path}/gone.toml': should be a file"
    }
    assert refused(pods, "demo") == {"not on this worker: CHURN_POD_TEMPLATE='/nope.yaml': should be a file"}


def refused(found, brand):
    """What workers say instead of running a brand's tasks."""
    dags = [dag for name, dag in found["dags"].items() if name.endswith(f"_{brand}")]
    return {task["refused"] for dag in dags for task in dag["tasks"].values()}


def test_an_exit_code_that_stays_fails_a_pods_task_at_once(tmp_path):
    env = environment(tmp_path, PYTHONPATH=str(FOLDER))
    said = python(Path(__file__).with_name("ended_pods.py"), env=env)

    judged = [line for line in said.splitlines() if line.endswith((" final", " again"))]
    assert judged == ["2 final", "3 final", "4 again", "137 again"]

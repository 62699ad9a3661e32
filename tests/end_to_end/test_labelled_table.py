"""A table of labelled customers, with columns that know too much, from `init` to a score."""

import csv
import json
import tomllib

import numpy as np
import pytest
from command import churnops

pytestmark = pytest.mark.e2e


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def club(tmp_path_factory):
    """1,500 members: who complains and is new tends to leave, and only who left was asked for a reason."""
    folder = tmp_path_factory.mktemp("club")
    rng = np.random.default_rng(3)
    rows = []
    for i in rng.permutation(1500):
        tenure, complaints = int(rng.integers(0, 72)), int(rng.poisson(0.6))
        gone = rng.random() < 1 / (1 + np.exp(1.0 + tenure / 15 - complaints))
        rows.append(
            {
                "member_no": f"{i:06d}",
                "tenure_months": tenure,
                "complaints": complaints,
                "plan": rng.choice(["basic", "plus", "family"]),
                "monthly_fee": f"{rng.uniform(10, 90):.2f}" if rng.random() > 0.05 else "",
                "exit_reason": rng.choice(["price", "moved"]) if gone and rng.random() < 0.9 else "",
                "win_back_score": f"{rng.normal(2.5 if gone else 0.0, 1.0):.3f}",
                "left": "yes" if gone else "no",
            }
        )
    churnops(
        "init",
        write(folder / "club.csv", rows),
        "--yes",
        "--out",
        folder / "club.toml",
        data_dir=folder / "var",
    )
    churnops("run", folder / "club.toml", data_dir=folder / "var")
    return folder, rows


def test_columns_that_know_the_label_are_found_and_left_out(club):
    folder, _ = club
    result = json.loads((folder / "var/runs/club/result.json").read_text())

    out = {one["column"] for one in result["findings"] if one["action"] == "excluded"}
    used = {one["name"] for one in result["features"]}
    columns = tomllib.loads((folder / "club.toml").read_text())["customers"]["columns"]
    for leak in ("exit_reason", "win_back_score"):
        assert leak in out or columns[leak]["role"] == "dropped"
        assert leak not in used
    assert {"tenure_months", "complaints"} <= used
    best = next(one for one in result["candidates"] if one["name"] == result["chosen"])
    assert 0.6 < best["metrics"]["roc_auc"]["value"] < 0.9


def test_new_members_without_a_label_are_scored(club, tmp_path):
    folder, rows = club
    after = ("left", "exit_reason", "win_back_score")
    new = [{name: value for name, value in row.items() if name not in after} for row in rows[:50]]
    scores = tmp_path / "scores.csv"
    table = write(tmp_path / "new.csv", new)
    bundle = folder / "var/runs/club/bundle"

    churnops(
        "score", folder / "club.toml", "--customers", table, "--bundle", bundle, "--out", scores,
        "--as-of", "2024-05-01", data_dir=folder / "var",
    )  # fmt: skip

    with scores.open() as file:
        scored = list(csv.DictReader(file))
    assert {row["customer_id"] for row in scored} == {row["member_no"] for row in new}
    assert [int(row["rank"]) for row in scored] == list(range(1, 51))
    assert {row["as_of"][:10] for row in scored} == {"2024-05-01"}

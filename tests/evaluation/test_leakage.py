"""The audit fires on planted leaks and is silent on honest tables."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from churnops.errors import NotEnoughData
from churnops.evaluation.leakage import Evidence, audit, too_good

ROWS = 3000


def honest(seed=0, rows=ROWS):
    """Customers whose tenure, complaints and plan say something of who leaves, and nothing says it all."""
    rng = np.random.default_rng(seed)
    tenure = rng.integers(0, 72, rows).astype(float)
    fee = rng.uniform(10, 100, rows)
    complaints = rng.poisson(0.4 + 0.01 * fee).astype(float)
    plan = np.where(rng.random(rows) < 0.3 + tenure / 200, "year", "month").astype(object)
    income = np.where(rng.random(rows) < 0.1, np.nan, fee * 400 + rng.normal(0, 9000, rows))
    logit = -0.5 - tenure / 14 + complaints + 1.2 * (plan == "month")
    return Evidence(
        churned=rng.random(rows) < expit(logit),
        customer_id=np.array([f"C{i:06d}" for i in rng.permutation(rows)], dtype=object),
        row_number=np.arange(rows),
        numeric={"tenure": tenure, "fee": fee, "complaints": complaints, "income": income},
        categorical={"plan": plan, "region": rng.choice(np.array(["n", "s", "w"], dtype=object), rows)},
    )


def found(evidence, **options):
    return {(one.kind, one.column): one for one in audit(evidence, **options)}


@pytest.mark.parametrize("seed", range(5))
def test_an_honest_table_has_no_findings(seed):
    assert audit(honest(seed)) == ()


@pytest.mark.parametrize("seed", range(5))
def test_many_columns_of_noise_on_few_rows_raise_no_alarm(seed):
    rng = np.random.default_rng(seed)
    noise = {f"n{i}": rng.normal(size=400) for i in range(150)}
    words = {f"c{i}": rng.choice(np.array(list("abcdefgh"), dtype=object), 400) for i in range(50)}

    assert audit(replace(honest(seed, rows=400), numeric=noise, categorical=words)) == ()


@pytest.mark.parametrize("flipped", [0.0, 0.02, 0.05, 0.1, 0.15])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_label_copied_with_noise_is_excluded(flipped, as_text):
    plain = honest()
    copy = plain.churned ^ (np.random.default_rng(1).random(ROWS) < flipped)
    columns = (
        {"categorical": {**plain.categorical, "status": np.where(copy, "closed", "open").astype(object)}}
        if as_text
        else {"numeric": {**plain.numeric, "status": copy + np.random.default_rng(2).normal(0, 0.05, ROWS)}}
    )

    findings = audit(replace(plain, **columns))

    assert [(one.column, one.action) for one in findings] == [("status", "excluded")]
    assert findings[0].figure >= findings[0].limit


def test_two_copies_do_not_vouch_for_each_other():
    plain = honest()
    rng = np.random.default_rng(1)
    copies = {name: (plain.churned ^ (rng.random(ROWS) < 0.1)).astype(float) for name in ("one", "two")}

    columns = {one.column for one in audit(replace(plain, numeric={**plain.numeric, **copies}))}

    assert columns == {"one", "two"}


def test_a_column_that_exists_only_after_churn_is_excluded():
    plain = honest()
    asked = plain.churned & (np.random.default_rng(1).random(ROWS) < 0.6)
    reason = np.where(asked, "price", None).astype(object)

    findings = audit(replace(plain, categorical={**plain.categorical, "exit_reason": reason}))

    assert [(one.column, one.action) for one in findings] == [("exit_reason", "excluded")]


def test_dates_after_the_instant_are_excluded():
    plain = honest()
    as_of = np.full(ROWS, np.datetime64("2024-01-01", "us"))
    days = np.random.default_rng(1).integers(1, 400, ROWS).astype("timedelta64[D]")
    late = np.random.default_rng(2).random(ROWS) < 0.05
    dates = {"joined": as_of - days, "closed": np.where(late, as_of + days, as_of - days)}

    assert set(found(replace(plain, as_of=as_of, dates=dates))) == {("dates_after_as_of", "closed")}


@pytest.mark.parametrize(
    "code",
    [
        lambda churned, rng: [f"{'X' if gone else 'C'}{rng.integers(10**6)}" for gone in churned],
        lambda churned, rng: [str(2 * int(rng.integers(10**6)) + gone) for gone in churned],
        lambda churned, rng: [str(int(rng.integers(10**5)) + 10**6 * gone) for gone in churned],
    ],
    ids=["letter", "parity", "range"],
)
def test_an_id_that_encodes_the_label_is_reported(code):
    plain = honest()
    ids = np.array(code(plain.churned.astype(int), np.random.default_rng(1)), dtype=object)

    findings = found(replace(plain, customer_id=ids))

    assert findings["id_predicts", "customer_id"].action == "reported"


def test_a_file_sorted_by_label_is_reported():
    plain = honest()
    place = np.argsort(np.argsort(~plain.churned, kind="stable"))

    assert ("id_predicts", "row_number") in found(replace(plain, row_number=place))


def test_a_finding_that_is_allowed_is_reported_as_allowed():
    plain = honest()
    evidence = replace(plain, numeric={**plain.numeric, "copy": plain.churned.astype(float)})

    assert [one.action for one in audit(evidence, allow=["copy"])] == ["allowed"]


def test_features_made_of_purchases_are_not_suspects():
    plain = honest()
    evidence = replace(
        plain, numeric={**plain.numeric, "recency_days": plain.churned * 90.0}, behavioural={"recency_days"}
    )

    assert not {one.column for one in audit(evidence)} & {"recency_days"}


def test_empty_and_constant_columns_are_harmless():
    plain = honest(rows=60)
    empty = {"empty": np.full(60, np.nan), "constant": np.ones(60)}
    words = {"none": np.full(60, None, dtype=object), "same": np.full(60, "x", dtype=object)}

    assert audit(replace(plain, numeric=empty, categorical=words)) == ()


def test_without_both_outcomes_there_is_nothing_to_audit():
    with pytest.raises(NotEnoughData):
        audit(replace(honest(), churned=np.zeros(ROWS, dtype=bool)))


def test_the_order_of_rows_matters_only_to_the_rule_about_it():
    plain = honest()
    copy = {**plain.numeric, "copy": (plain.churned ^ (np.random.default_rng(1).random(ROWS) < 0.1)) * 1.0}
    evidence = replace(plain, numeric=copy)
    order = np.random.default_rng(2).permutation(ROWS)
    shuffled = Evidence(
        churned=evidence.churned[order],
        customer_id=evidence.customer_id[order],
        row_number=evidence.row_number,
        numeric={name: column[order] for name, column in evidence.numeric.items()},
        categorical={name: column[order] for name, column in evidence.categorical.items()},
    )

    assert {one.column for one in audit(evidence)} == {one.column for one in audit(shuffled)} == {"copy"}


@pytest.mark.parametrize(("auc", "findings"), [(0.97, 0), (0.98, 1), (1.0, 1)])
def test_a_result_beyond_belief_is_a_finding(auc, findings):
    assert len(too_good(auc)) == findings

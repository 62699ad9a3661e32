"""Who may become champion."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnops.bundle.manifest import Metric
from churnops.config import load_toml
from churnops.errors import ConfigError
from churnops.registry.promotion import Evidence, Gates, failed_gates, overtaken

CONFIG = Path(__file__).parents[2] / "configs/promotion.toml"
NAN, INF = float("nan"), float("inf")


def gain(low: float, *, value: float | None = None, high: float | None = None) -> Metric:
    return Metric(
        value=low + 0.01 if value is None else value, low=low, high=low + 0.02 if high is None else high
    )


GOOD: dict[str, Any] = {
    "candidate": "torch",
    "gain_over_recency": gain(0.03),
    "champion": "cdnow-000000000001",
    "gain_over_champion": gain(0.001),
    "calibration_error": 0.02,
    "parity": 1e-7,
    "labels_mature": True,
    "open_findings": (),
}


def reasons(gates: Gates | None = None, **changes: Any) -> tuple[str, ...]:
    return failed_gates(Evidence(**(GOOD | changes)), gates or Gates())


def test_good_evidence_promotes() -> None:
    assert reasons() == ()


def test_the_first_champion_has_nobody_to_beat() -> None:
    assert reasons(champion=None, gain_over_champion=None) == ()


# What fails one gate and no other, and the words it fails with.
FAILINGS: list[tuple[dict[str, Any], str]] = [
    ({"gain_over_recency": gain(0.0)}, "gain over recency: ROC AUC +0.0100 [+0.0000, +0.0200]"),
    ({"gain_over_recency": gain(-0.01)}, "the interval does not lie above +0"),
    ({"gain_over_recency": None}, "gain over recency was not measured"),
    ({"gain_over_recency": None, "one_column": "tenure"}, "gain over tenure was not measured"),
    ({"gain_over_recency": gain(NAN)}, "gain over recency was not measured"),
    ({"gain_over_recency": gain(0.03, high=INF)}, "gain over recency was not measured"),
    ({"gain_over_recency": gain(0.03, value=NAN)}, "gain over recency was not measured"),
    ({"gain_over_recency": gain(0.03, high=0.02)}, "[+0.0300, +0.0200] is not an interval"),
    ({"candidate": "recency"}, "recency is the one-column baseline itself"),
    ({"candidate": "tenure", "one_column": "tenure"}, "tenure is the one-column baseline itself"),
    ({"gain_over_champion": gain(0.0)}, "gain over champion cdnow-000000000001: ROC AUC"),
    ({"gain_over_champion": None}, "gain over champion cdnow-000000000001 was not measured"),
    ({"gain_over_champion": gain(NAN)}, "gain over champion cdnow-000000000001 was not measured"),
    ({"gain_over_champion": gain(-0.01), "champion": None}, "gain over champion None: ROC AUC"),
    ({"champion_problem": "`city` is gone"}, "cannot be compared: `city` is gone"),
    ({"champion_problem": "`city` is gone", "champion": None}, "champion None cannot be compared"),
    ({"calibration_error": 0.1001}, "calibration error 0.1 is not between 0 and 0.1"),
    ({"calibration_error": -0.01}, "calibration error -0.01 is not between 0 and 0.1"),
    ({"calibration_error": NAN}, "calibration error was not measured"),
    ({"calibration_error": None}, "calibration error was not measured"),
    ({"parity": 2e-5}, "ONNX parity 2e-05 is not between 0 and 1e-05"),
    ({"parity": INF}, "ONNX parity was not measured"),
    ({"parity": None}, "ONNX parity was not measured"),
    ({"labels_mature": False}, "the test labels are not mature"),
    ({"labels_mature": None}, "whether the test labels are mature is unknown"),
    ({"open_findings": None}, "no leakage audit was made"),
    (
        {"open_findings": ("`id` decides the label: AUC 0.99",)},
        "leakage finding open: `id` decides the label",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), FAILINGS)
def test_a_single_failing_gate_blocks(changes: dict[str, Any], reason: str) -> None:
    (given_reason,) = reasons(**changes)
    assert reason in given_reason


def test_every_reason_is_named_at_once() -> None:
    assert len(failed_gates(Evidence(candidate="torch"), Gates())) == 5
    assert len(reasons(open_findings=("a", "b"), labels_mature=False)) == 3


def test_a_limit_itself_is_still_good() -> None:
    assert reasons(calibration_error=0.1, parity=1e-5) == ()


def test_a_negative_margin_accepts_almost_as_good() -> None:
    lenient = Gates(champion_margin=-0.01)
    assert reasons(lenient, gain_over_champion=gain(-0.009)) == ()
    assert reasons(lenient, gain_over_champion=gain(-0.01)) != ()


def test_only_the_champion_named_may_be_replaced_uncompared() -> None:
    problem = {"champion_problem": "another horizon: 91 days, not 28", "gain_over_champion": None}
    assert reasons(Gates(retire_champion="cdnow-000000000001"), **problem) == ()
    assert reasons(Gates(retire_champion="cdnow-000000000002"), **problem) != ()
    assert reasons(Gates(retire_champion="cdnow-000000000001"), **problem, labels_mature=False) != ()
    assert reasons(Gates(retire_champion="cdnow-000000000001"), gain_over_champion=None) != ()
    assert reasons(Gates(retire_champion="cdnow-000000000001"), gain_over_champion=gain(-0.1)) != ()


@pytest.mark.parametrize(
    ("then", "now", "holds"),
    [(None, None, True), ("a", "a", True), (None, "a", False), ("a", "b", False), ("a", None, False)],
)
def test_evidence_holds_only_against_the_champion_it_was_measured_against(
    then: str | None, now: str | None, holds: bool
) -> None:
    assert (overtaken(Evidence(candidate="torch", champion=then), now) == ()) is holds


def test_the_file_holds_the_defaults() -> None:
    assert load_toml(Gates, CONFIG) == Gates()
    assert Gates.model_fields.keys() == load_toml(Gates, CONFIG).model_fields_set


@pytest.mark.parametrize(
    "line",
    [
        "recency_margin = -0.01",
        "champion_margin = -0.5",
        "max_calibration_error = 1.0",
        "max_parity = 1e-3",
        "recency_margin = nan",
        "max_calibration_error = nan",
        "enabled = false",
    ],
)
def test_no_setting_opens_a_gate(line: str, tmp_path: Path) -> None:
    path = tmp_path / "promotion.toml"
    path.write_text(line)
    with pytest.raises(ConfigError, match=line.split()[0]):
        load_toml(Gates, path)


figures = st.none() | st.floats(allow_nan=True)
intervals = st.none() | st.builds(Metric, value=st.floats(), low=st.floats(), high=st.floats())
evidences = st.builds(
    Evidence,
    candidate=st.sampled_from(["torch", "recency"]),
    gain_over_recency=intervals,
    champion=st.none() | st.just("a"),
    gain_over_champion=intervals,
    champion_problem=st.sampled_from(["", "gone"]),
    calibration_error=figures,
    parity=figures,
    labels_mature=st.none() | st.booleans(),
    open_findings=st.none() | st.lists(st.just("leak"), max_size=2).map(tuple),
)
small_gains = st.floats(0, 0.5).flatmap(
    lambda low: st.floats(0, 0.5).map(lambda width: gain(low, value=low + width / 2, high=low + width))
)
passable = st.builds(
    Evidence,
    candidate=st.just("torch"),
    gain_over_recency=small_gains,
    champion=st.none() | st.just("a"),
    calibration_error=st.floats(0, 0.12),
    parity=st.floats(0, 1.2e-5),
    labels_mature=st.just(True),
    open_findings=st.just(()),
).flatmap(
    lambda evidence: (
        st.just(evidence)
        if evidence.champion is None
        else small_gains.map(lambda gain: evidence.model_copy(update={"gain_over_champion": gain}))
    )
)


@given(passable, st.floats(-1, 0), st.sampled_from(["gain_over_recency", "gain_over_champion"]))
def test_a_worse_challenger_is_never_promoted(evidence: Evidence, difference: float, field: str) -> None:
    worse = Metric(value=difference, low=difference - 0.01, high=difference + 0.01)
    assert failed_gates(evidence.model_copy(update={field: worse}), Gates())


def _harmed(evidence: Evidence, harm: str, amount: float) -> Evidence:
    """The same evidence with one thing worse, or no longer known."""
    changed: Any
    value = getattr(evidence, harm)
    match harm:
        case "gain_over_recency" | "gain_over_champion":
            changed = value and Metric(value=value.value - amount, low=value.low - amount, high=value.high)
        case "calibration_error" | "parity":
            changed = None if value is None else value + amount
        case "labels_mature":
            changed = False
        case "open_findings":
            changed = (*(value or ()), "another")
        case _:
            changed = "gone"
    return evidence.model_copy(update={harm: changed})


@given(
    evidences | passable, st.sampled_from(sorted(GOOD.keys() - {"candidate", "champion"})), st.floats(0, 10)
)
def test_more_harm_never_turns_a_no_into_a_yes(evidence: Evidence, harm: str, amount: float) -> None:
    lenient = [
        Gates(champion_margin=-0.02),
        *([Gates(retire_champion="a")] if harm != "champion_problem" else []),
    ]
    for gates in (Gates(), *lenient):
        if failed_gates(evidence, gates):
            assert failed_gates(_harmed(evidence, harm, amount), gates)


@given(evidences)
def test_evidence_survives_being_written_down(evidence: Evidence) -> None:
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence

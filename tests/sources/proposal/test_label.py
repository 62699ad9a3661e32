"""Who left, in the words of the table."""

import brands
import pytest
from exports import export, export_parquet
from made_tables import labelled_rows, lines


@pytest.mark.parametrize(
    ("column", "gone", "stayed"),
    [
        ("Churn", "Yes", "No"),
        ("Exited", "1", "0"),
        ("churn_flag", "1.0", "0.0"),
        ("is_churned", "True", "False"),
        ("attrited", "Y", "N"),
        ("Attrition_Flag", "Attrited Customer", "Existing Customer"),
        ("status", "cancelled", "active"),
        ("customer_status", "left", "stayed"),
        ("outcome", "Left", "Stayed"),
        ("retained", "no", "yes"),
        ("active", "0", "1"),
        ("is_active", "false", "true"),
        ("IsActiveMember", "0", "1"),
        ("renewed", "N", "Y"),
        ("gekündigt", "ja", "nein"),
        ("Vertragsstatus", "gekündigt", "aktiv"),
        ("churn", "churn", "no churn"),
        ("churn", "Churner", "Loyal"),
    ],
)
def test_the_words_for_having_left_are_told_by_themselves_or_by_the_name(
    tmp_path, proposed, column, gone, stayed
):
    proposal = proposed(*brands.two_words(tmp_path, column, gone=gone, stayed=stayed))
    label = proposal.config.customers.label
    assert (label.column, label.churned, label.stayed) == (column, (gone,), (stayed,))
    assert proposal.questions == ()


def test_a_typed_label_needs_no_words(tmp_path, proposed):
    gone = [left for _, _, left in labelled_rows()]
    path = export_parquet(tmp_path / "a.parquet", id=range(len(gone)), minutes=range(len(gone)), churned=gone)
    label = proposed(path).config.customers.label
    assert (label.churned, label.stayed) == (("true",), ("false",))


def test_words_that_say_nothing_are_asked_about(tmp_path, proposed):
    (path,) = brands.two_words(tmp_path, "target", gone="b", stayed="a")
    proposal = proposed(path)
    (question,) = proposal.questions
    assert (question.key, question.options, question.default) == ("customers.label.churned", ("a", "b"), "b")
    assert proposal.config.customers.label.churned == ("b",)
    assert "Taken for granted: b (it is the rarer)" in "\n".join(proposal.warnings)
    answered = proposed(path, **{question.key: "a"})
    assert (answered.config.customers.label.churned, answered.questions) == (("a",), ())


def test_more_than_half_leaving_is_doubted(tmp_path, proposed):
    (path,) = brands.two_words(tmp_path, "churn", gone="0", stayed="1")
    assert "make sure that 1 means having left" in "\n".join(proposed(path).warnings)


def test_a_third_word_counts_as_staying_and_is_told(tmp_path, proposed):
    words = ("active", "active", "cancelled", "paused")
    rows = [[f"k{i}", random.randrange(90), words[i % 4]] for i, random, _ in labelled_rows()]
    proposal = proposed(export(tmp_path / "a.csv", *lines("id,minutes,status", rows)))
    label = proposal.config.customers.label
    assert (label.churned, label.stayed) == (("cancelled",), ("active", "paused"))
    assert "'status': paused counted as having stayed" in "\n".join(proposal.warnings)


def test_of_two_labels_the_surer_name_is_taken(tmp_path, proposed):
    rows = [
        [f"k{i}", random.randrange(2), random.randrange(90), int(gone)] for i, random, gone in labelled_rows()
    ]
    config = proposed(export(tmp_path / "a.csv", *lines("id,IsActiveMember,minutes,Exited", rows))).config
    assert config.customers.label.column == "Exited"
    assert config.customers.columns["IsActiveMember"].role == "numeric"

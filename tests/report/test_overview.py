"""How a run ends on the terminal."""

import sample

from churnops.bundle.manifest import Metric
from churnops.report.overview import overview
from churnops.report.result import Equivalence


def test_it_tells_the_candidates_the_verdict_and_where_everything_is():
    said = "\n".join(overview(sample.result()))

    assert said.splitlines()[0].split()[:3] == ["candidate", "ROC", "AUC"]
    for candidate in sample.candidates():
        assert f"{candidate.name} " in said
    for sentence in sample.VERDICT:
        assert sentence in said
    assert "shop-0123456789ab: not promoted\n  - gain over champion" in said
    assert "bundle       var/runs/shop/bundle" in said


def test_two_frameworks_are_held_against_each_other_in_one_sentence():
    gain = {"roc_auc": Metric(value=0.001, low=-0.001, high=0.002)}
    both = Equivalence(loss=2e-7, score=4e-6, gain=gain)

    said = list(overview(sample.result(equivalence=both)))

    assert (
        "PyTorch and TensorFlow from the same weights without dropout: losses within 2e-07, scores"
        " within 4e-06; as trained, ROC AUC +0.001 [-0.001, +0.002] between them."
    ) in said

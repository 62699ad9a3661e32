"""What a shadow leaves behind."""

import resource

import pytest
from structlog.testing import capture_logs

from churnops.serving.model import Models, Served
from churnops.serving.shadow import Records, Shadow, summary
from churnops.serving.trial import Plan


def _line(difference: float, *, flipped: bool = False) -> dict[str, object]:
    return {"prediction_id": "a", "score": 0.5, "challenger_score": 0.5 + difference, "flipped": flipped}


def test_differences_of_all_files_are_summed_up(tmp_path):
    records = Records(tmp_path / "t-0.jsonl", rotate_bytes=100)
    records.write([_line(0.25), _line(-0.125, flipped=True)])
    records.write([_line(0.0), {"prediction_id": "b", "score": 0.5}])  # the first file is full
    Records(tmp_path / "t-1.jsonl").write([{"dropped": 3}])
    Records(tmp_path / "other-0.jsonl").write([_line(0.4)])
    with (tmp_path / "t-1.jsonl").open("ab") as file:
        file.write(b'{"prediction_id": "half a l')
    found = summary(tmp_path, "t")
    assert (found.compared, found.flips, found.failures, found.dropped) == (3, 1, 1, 3)
    assert found.mean == pytest.approx(0.125 / 3)
    assert found.mean_absolute == pytest.approx(0.375 / 3)
    assert found.largest == 0.25


def test_a_file_that_holds_but_a_part_of_a_line_takes_whole_ones(tmp_path):
    path = tmp_path / "t-0.jsonl"
    path.write_bytes(b"{")
    Records(path).write([_line(0.25)])
    assert (summary(tmp_path, "t").compared, summary(tmp_path, "t").unreadable) == (1, 1)


@pytest.mark.parametrize("keep", [1, 20, -1])
def test_a_line_that_was_cut_is_counted_and_takes_no_other_with_it(tmp_path, keep):
    path = tmp_path / "t-0.jsonl"
    Records(path).write([_line(0.25), _line(0.5)])
    whole, cut = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(whole + cut[:-1][:keep])
    for _ in range(2):
        Records(path).write([_line(-0.25)])
    path.write_bytes(b"\0\0\0\n[1]\n\xff\n" + path.read_bytes())
    found = summary(tmp_path, "t")
    assert (found.compared, found.unreadable, found.largest) == (3, 4, 0.25)


@pytest.fixture
def full_disk():
    """Sets how many bytes a file may have; None: any number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(
        resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1])
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_a_full_disk_took_is_told_as_left_out(tmp_path, tiny_bundle, full_disk):
    served = Served(tiny_bundle)
    path = tmp_path / "t-0.jsonl"
    plan = Plan(id="t", version=2, share=1.0, shadow=True)
    shadow = Shadow(plan, served, Models(served), Records(path))

    def seen(*differences: float) -> None:
        shadow._lines += [_line(one) for one in differences]
        shadow.keep()

    seen(0.25)
    full_disk(path.stat().st_size + 10)
    with capture_logs() as logs:
        seen(0.25, 0.5)
        seen(0.5)
        for _ in range(5):
            shadow.keep()  # nothing new: nothing to try
    assert [line["event"] for line in logs] == ["differences are lost"] * 2
    full_disk(None)
    seen(-0.25)
    seen(0.125)
    found = summary(tmp_path, "t")
    assert (found.compared, found.dropped, found.unreadable) == (3, 3, 0)
    full_disk(path.stat().st_size)
    seen(0.5)
    full_disk(None)
    shadow.keep(last=True)
    assert summary(tmp_path, "t").dropped == 4


def test_no_more_than_five_files_are_kept(tmp_path):
    records = Records(tmp_path / "t-0.jsonl", rotate_bytes=0)
    for number in range(9):
        records.write([_line(number / 100)])
    assert len(list(tmp_path.iterdir())) == 5
    assert summary(tmp_path, "t").largest == pytest.approx(0.08)
    assert summary(tmp_path, "t").compared == 5


def test_nothing_found_is_no_difference(tmp_path):
    records = Records(tmp_path / "t-0.jsonl")
    records.write([])
    assert not list(tmp_path.iterdir())
    assert summary(tmp_path, "t").compared == 0

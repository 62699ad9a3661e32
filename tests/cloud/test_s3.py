"""Folders in a real S3 server, and archives that come back."""

import gzip
import io
import tarfile

import pytest
from s3_server import s3_client, serving

from churnops.cloud.aws import Aws
from churnops.cloud.s3 import address_of, fetch, put, upload
from churnops.errors import CloudError


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("s3")) as address:
        client = s3_client(address)
        client.create_bucket(Bucket="lake")
        yield client


@pytest.fixture
def aws(s3):
    return Aws(s3, None, None)


@pytest.fixture
def folder(tmp_path):
    for name in ("train/part-0.parquet", "train/part-1.parquet", "test/part-0.parquet", "step.json"):
        path = tmp_path / "shipment" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{tmp_path} {name}")
    return tmp_path / "shipment"


def keys(s3, address):
    found = s3.list_objects_v2(Bucket="lake", Prefix=address.removeprefix("s3://lake/"))
    return [one["Key"].rsplit("/", 2)[-2:] for one in found.get("Contents", [])]


def test_a_folder_goes_once_and_again_when_half_of_it_went(s3, aws, folder):
    said, address = [], address_of(folder, "s3://lake/datasets")

    for _ in range(2):
        upload(folder, address, aws, lambda *what: said.append(what[1]))
    assert said == ["1 of 3 files", "2 of 3 files", "3 of 3 files", "kept"]
    assert ["train", "part-1.parquet"] in keys(s3, address)

    s3.delete_object(Bucket="lake", Key=f"{address.removeprefix('s3://lake/')}/_complete.json")
    upload(folder, address, aws, lambda *what: said.append(what[1]))
    assert said[-1] == "3 of 3 files"


def test_an_address_is_that_of_the_content(folder):
    before = address_of(folder, "s3://lake/datasets")
    (folder / "step.json").write_text("another stamp")
    assert address_of(folder, "s3://lake/datasets") == before

    (folder / "train/part-0.parquet").write_text("another row")
    assert address_of(folder, "s3://lake/datasets") != before


def test_what_is_there_is_not_written_again(s3, aws):
    put(b"one", "s3://lake/bundles/a", aws)
    put(b"other", "s3://lake/bundles/a", aws)

    assert s3.get_object(Bucket="lake", Key="bundles/a")["Body"].read() == b"one"


def archive(*members):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        for name, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            member.size = 3 if kind == tarfile.REGTYPE else 0
            packed.addfile(member, io.BytesIO(b"abc"))
    return content.getvalue()


def damaged(content):
    """Garbage in the middle: what comes before it can be read."""
    middle = len(content) // 2
    return content[:middle] + b"\xff" * 40 + content[middle + 40 :]


def of_size(n_bytes):
    """A sparse file: it takes no room until it is unpacked."""
    member = tarfile.TarInfo("a")
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(n_bytes)}
    member.pax_headers = {**sparse, "GNU.sparse.name": "a"}
    member.size = 512
    header = member.tobuf(tarfile.PAX_FORMAT)
    return gzip.compress(header + f"1\n{n_bytes}\n0\n".encode().ljust(512, b"\0") + bytes(1024))


def headers_without_end():
    """Each only announces the name of the next: a parser that recurses runs out of stack."""
    header = tarfile.TarInfo("a")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    return gzip.compress((header.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 5_000)


def test_a_model_is_unpacked(s3, aws, tmp_path):
    s3.put_object(Bucket="lake", Key="m/model.tar.gz", Body=archive(("model.onnx", tarfile.REGTYPE)))

    fetch("s3://lake/m/model.tar.gz", tmp_path, aws)

    assert (tmp_path / "model.onnx").read_bytes() == b"abc"
    assert len(list(tmp_path.iterdir())) == 1


PARTS = archive(*[(f"part-{i}", tarfile.REGTYPE) for i in range(50)])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(archive(("../outside", tarfile.REGTYPE)), "cannot be unpacked: .*outside", id="outside"),
        pytest.param(archive(("a", tarfile.SYMTYPE)), "holds links", id="symlink"),
        pytest.param(archive(("a", tarfile.LNKTYPE)), "holds links", id="hard link"),
        pytest.param(archive(("a", tarfile.CHRTYPE)), "holds links", id="device"),
        pytest.param(PARTS[:30], "cannot be unpacked", id="truncated"),
        pytest.param(damaged(PARTS), "cannot be unpacked", id="damaged"),
        pytest.param(PARTS[:-8] + bytes(8), "cannot be unpacked: CRC", id="wrong checksum"),
        pytest.param(of_size(3 * 1024**3), "unpacks to more than 2 GB", id="too large"),
        pytest.param(headers_without_end(), "cannot be unpacked", id="headers without end"),
        pytest.param(archive(), "is empty", id="empty"),
        pytest.param(b"no archive", "cannot be unpacked", id="no archive"),
    ],
)
def test_an_unsafe_archive_is_refused_and_leaves_nothing(s3, aws, tmp_path, content, says):
    s3.put_object(Bucket="lake", Key="bad/model.tar.gz", Body=content)
    to = tmp_path / "to"
    to.mkdir()

    with pytest.raises(CloudError, match=f"s3://lake/bad/model.tar.gz: {says}"):
        fetch("s3://lake/bad/model.tar.gz", to, aws)

    assert list(tmp_path.rglob("*")) == [to]


def test_a_model_that_is_not_there_is_told(aws, tmp_path):
    with pytest.raises(CloudError, match=r"fetching s3://lake/none/model.tar.gz: .*404"):
        fetch("s3://lake/none/model.tar.gz", tmp_path, aws)

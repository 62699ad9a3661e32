"""Source files on S3, brought to this machine once: a later run brings only what is new or has changed."""

import json
from pathlib import Path

from churnops.data_config import DataConfig, SourceTable
from churnops.errors import SourceError
from churnops.storage import Storage, is_remote
from churnops.writing import write_whole

_INDEX = ".mirror.json"


def brought_here(config: DataConfig, source_dir: str, cache: Path) -> tuple[DataConfig, Path]:
    """`config` with its sources on this machine, and the folder where their paths start.

    Files on S3 are mirrored below `cache`; where all are here already, nothing is done. Raises SourceError
    where an address holds no file, and StorageError.
    """
    named = {"customers": config.customers, "transactions": config.transactions}
    sources = {name: source for name, source in named.items() if source}
    if not is_remote(source_dir) and not any(is_remote(source.path) for source in sources.values()):
        return config, Path(source_dir)
    return config.model_copy(
        update={name: _here(source, source_dir, cache) for name, source in sources.items()}
    ), cache


def _here(source: SourceTable, source_dir: str, cache: Path) -> SourceTable:
    """`source` with a path that starts in `cache`, or is absolute."""
    if is_remote(source.path):
        address = source.path
    elif is_remote(source_dir) and not Path(source.path).is_absolute():
        address = f"{source_dir.rstrip('/')}/{source.path}"
    else:
        return source.model_copy(update={"path": str(Path(source_dir, source.path).resolve())})
    return source.model_copy(update={"path": str(mirror(address, cache))})


def mirror(address: str, cache: Path) -> Path:
    """Bring the file at `address`, or all below it, to a path in `cache`; that path, from there."""
    path = Path("s3", address.removeprefix("s3://"))
    below, _, name = address.rstrip("/").rpartition("/")
    if is_remote(below):
        storage, folder = Storage(below), cache / path.parent
    else:
        storage, folder, name = Storage(address), cache / path, ""  # a whole bucket
    found = {file.name: file for file in storage.files(name)}
    one = storage.file(name) if not found and name else None  # a listing is of folders
    found |= {one.name: one} if one else {}
    if not found:
        raise SourceError(address, ["no such file or folder"])
    index = folder / f".{name}{_INDEX}"
    have = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    for gone in have.keys() - found.keys():
        (folder / gone).unlink(missing_ok=True)
    marks = {gone: have[gone] for gone in have.keys() & found.keys()}
    for file in found.values():
        if marks.get(file.name) != file.mark or not (folder / file.name).exists():
            storage.download(file.name, folder / file.name)
        marks[file.name] = file.mark
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(index, json.dumps(marks).encode())
    return path

"""What one version of a dataset is: its tables, what made them, and from what."""

import datetime as dt
import hashlib
from typing import Annotated

from pydantic import Field

from churnops.bundle.manifest import canonical_json
from churnops.config import FrozenModel
from churnops.lake.content import Content

# Names that lead nowhere else, whoever wrote the manifest.
Folder = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
TableName = Annotated[str, Field(pattern=r"^\w+$")]
FileName = Annotated[str, Field(pattern=r"^[\w=-][\w=.-]*(/[\w=-][\w=.-]*)*$")]


class Part(FrozenModel):
    """Rows that were written at once."""

    folder: Folder
    """Where their files are, below the dataset."""
    content: Content
    files: dict[FileName, int]
    """Bytes of the Parquet files, by name below the folder; in the order of the rows."""


class TableManifest(FrozenModel):
    """One table of a version: parts in the order in which they came, shared with the versions before."""

    parts: tuple[Part, ...] = Field(min_length=1)

    @property
    def columns(self) -> dict[str, str]:
        """Types by name, in order."""
        return self.parts[0].content.columns

    @property
    def rows(self) -> int:
        """Of all parts."""
        return sum(part.content.rows for part in self.parts)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(size for part in self.parts for size in part.files.values())

    @property
    def sha256(self) -> str:
        """The hash of the content; of several parts, the hash of their hashes."""
        hashes = [part.content.sha256 for part in self.parts]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


class Note(FrozenModel):
    """A JSON file beside the tables."""

    bytes: int
    sha256: str


class Producer(FrozenModel):
    """Who published a version, with which code, and when their job began."""

    actor: str = ""
    code: str = ""
    started_at: dt.datetime | None = None


class Source(FrozenModel):
    """A version of another dataset that this one was made from."""

    dataset: str
    number: int
    sha256: str


class Version(FrozenModel):
    """A published version. `number` counts from 1; what is published never changes."""

    dataset: str
    number: int = Field(ge=1)
    folder: Folder
    """Where its own files are, below the dataset."""
    tables: dict[TableName, TableManifest]
    notes: dict[FileName, Note]
    """The JSON files beside the tables, by name."""
    key: str
    """Of the step that made it: the same inputs and code, the same key."""
    engine: str
    sources: tuple[Source, ...]
    producer: Producer = Producer()

    @property
    def below(self) -> str:
        """The folder of its own files in the lake."""
        return f"{self.dataset}/{self.folder}"

    @property
    def folders(self) -> set[str]:
        """Every folder in the lake that holds files of it."""
        parts = (part for table in self.tables.values() for part in table.parts)
        return {self.below, *(f"{self.dataset}/{part.folder}" for part in parts)}

    @property
    def sha256(self) -> str:
        """The hash of its tables' content, whatever files they are in."""
        content = {name: table.sha256 for name, table in self.tables.items()}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    @property
    def rows(self) -> int:
        """Of all its tables."""
        return sum(table.rows for table in self.tables.values())

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(table.bytes for table in self.tables.values()) + sum(
            note.bytes for note in self.notes.values()
        )

    def holds(self, other: "Version") -> bool:
        """Whether a reader finds in both the same."""
        return (self.sha256, self.notes) == (other.sha256, other.notes)

    def as_source(self) -> Source:
        """How a version made from it names it."""
        return Source(dataset=self.dataset, number=self.number, sha256=self.sha256)

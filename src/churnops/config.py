"""Where things are (environment variables) and how a config file is read."""

import datetime as dt
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from churnops.errors import ConfigError

_PREFIX = "CHURNOPS_"


def folder_or_s3(text: str) -> str:
    """`text`; raises ValueError where it is neither a folder nor `s3://bucket/prefix`."""
    if not re.match(r"s3://[^/]|(?!\w+:/)", text):
        raise ValueError(f"{text}: is neither a folder nor s3://bucket/prefix")
    return text


def _named(text: object) -> object:
    if text == "":
        raise ValueError("is empty: name a folder, or unset it")
    return text


def _on_this_machine(path: Path) -> Path:
    if path.parts and path.parts[0].endswith(":"):  # s3://bucket
        raise ValueError(
            "must be a folder of this machine; CHURNOPS_LAKE and CHURNOPS_ARTIFACTS may be on S3"
        )
    return path


Address = Annotated[str, AfterValidator(folder_or_s3)]


class Settings(BaseSettings):
    """Where things are. Each field is read from `CHURNOPS_<FIELD>`, once, when a command starts."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True)

    data_dir: Annotated[Path, BeforeValidator(_named), AfterValidator(_on_this_machine)] = Path("var")
    """Where churnops works, on this machine: runs, bundles, reports."""
    source_dir: Address = "."
    """Where relative paths of a data config start: a folder, or `s3://bucket/prefix`."""
    lake: Address = ""
    """Where tables are published: a folder, or `s3://bucket/prefix`; empty means in `data_dir`."""
    tracking_uri: str = Field(default="", validate_default=True)
    """MLflow tracking URI; empty means SQLite inside `data_dir`."""
    artifacts: Address = ""
    """Where MLflow keeps files of new experiments: a folder, or `s3://bucket/prefix`; empty means in
    `data_dir`, or where a tracking server says."""
    memory_limit: str = Field(default="4GB", pattern=r"^\d+(\.\d+)? ?([KMGT]i?B)$")
    """The most memory DuckDB may take before it spills to `data_dir`."""
    engine: Literal["auto", "duckdb", "spark"] = "auto"
    """What builds features: `auto` chooses by the size of the tables."""
    spark_master: str = "local[*]"
    """Where Spark runs; empty: where `spark-submit` says."""
    actor: str = ""
    """Who does it, for manifests and the audit log; empty: the user of this machine."""
    started_at: dt.datetime | None = None
    """When the job is said to have begun, for manifests; empty: when it began."""
    log_json: bool = False
    """Log JSON lines instead of text."""

    @field_validator("tracking_uri")
    @classmethod
    def _to_a_file_that_mlflow_can_open(cls, uri: str, read: ValidationInfo) -> str:
        folder = str(read.data.get("data_dir", Path()).resolve())
        if not uri and re.search(r"[%?]", folder):
            raise ValueError(f"must be set where CHURNOPS_DATA_DIR has % or ? in its path: {folder}")
        return uri

    @property
    def lake_address(self) -> str:
        """The lake with its default filled in."""
        return self.lake.rstrip("/") or str(self.data_dir / "lake")

    @property
    def mlflow_uri(self) -> str:
        """The tracking URI with its default filled in."""
        return self.tracking_uri or f"sqlite:///{(self.data_dir / 'mlflow.db').resolve()}"


def read_settings() -> Settings:
    """Read `CHURNOPS_*`; raise ConfigError for a misspelt or unusable variable."""
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(_PREFIX) and name not in known)
    if unknown:
        raise ConfigError(
            "environment", [f"{name}: no such setting; known: {', '.join(sorted(known))}" for name in unknown]
        )
    try:
        return Settings()
    except ValidationError as error:
        named = (fault.partition(": ") for fault in faults(error))
        problems = [f"{_PREFIX}{name.upper()}: {problem}" for name, _, problem in named]
        raise ConfigError("environment", problems) from error


class FrozenModel(BaseModel):
    """The base of every config: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=BaseModel)


def load_toml(model: type[Model], path: Path, *, hint: str = "") -> Model:
    """Read `path` into `model`; raise ConfigError naming every wrong key at once.

    `hint` is what to do where there is no such file.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return model.model_validate(content)
    except FileNotFoundError:
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise ConfigError(str(path), [f"no such file{where}{hint and f': {hint}'}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from error
    except ValidationError as error:
        raise ConfigError(str(path), faults(error)) from error


def dotted(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and texts: `{"schedule": {"epochs": 5}}` is `schedule.epochs` = "5"."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, default=str)


def faults(error: ValidationError) -> list[str]:
    """Every fault as `path.to.key: what is wrong`."""
    return [
        f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors()
    ]

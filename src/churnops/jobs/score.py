"""`churnops score`: a bundle over everybody who is asked about on one day."""

import datetime as dt
from dataclasses import dataclass

from churnops.bundle.bundle import read_bundle
from churnops.bundle.manifest import Manifest
from churnops.config import Settings
from churnops.data_config import DataConfig
from churnops.errors import BundleError, ConfigError
from churnops.features.definitions import feature_hash, taken
from churnops.jobs.bundles import bundle_folder
from churnops.jobs.features import Made, make_features, published_features
from churnops.jobs.steps.scoring import Order, check_ending, ranked, scores_step
from churnops.jobs.steps.workshop import working
from churnops.progress import Tell
from churnops.scoring.batch import check_reasons
from churnops.storage import delivered


@dataclass(frozen=True)
class Scored:
    """What one run of scoring left behind."""

    rows: int
    path: str
    """Here or on S3."""
    model_version: str
    repairs: tuple[str, ...]
    """See `churnops.jobs.features.Made`."""


@dataclass(frozen=True)
class Request:
    """Whom to score, when, with what, into which file."""

    config: DataConfig
    now: dt.datetime
    """Its day stands in as `as_of` for tables without dates."""
    as_of: dt.date | None = None
    """Purchases: by default the end of the data."""
    bundle: str | None = None
    """A folder, here or on S3; by default the champion."""
    customers: str | None = None
    """Labelled tables: the path of another table of the same columns, but for the label."""
    published: bool = False
    """Only the features that the lake has of `as_of` will do; by default they are made where they are not."""
    to: str | None = None
    """Here or on S3; by default `scores/<name>/as_of=<date>.parquet` in the data folder."""
    reasons: int = 0
    """How many reasons each customer gets."""
    processes: int | None = None
    """By default one for each core."""


def score(request: Request, settings: Settings, tell: Tell) -> Scored:
    """Publish `scores_with(request.reasons)` in the order of the features, and write them to a file as well,
    with their rank and the likeliest to leave first.

    Raises what `make_features`, `published_features`, `bundle_folder` and `scores_step` do, and BundleError
    where the bundle was trained for another meaning of the config or on features that are not declared, or
    not so, or gives no reasons; what can be known before the work is said before it.
    """
    if request.to:
        check_ending(request.to)
    config = _with_customers(request)
    bundle = read_bundle(bundle_folder(settings, config.name, request.bundle))
    _same_question(bundle.manifest, config)
    _same_features(bundle.manifest, config)
    check_reasons(bundle, request.reasons)
    made = _features(request, config, bundle.manifest, settings, tell)
    stamped = made.as_of or dt.datetime.combine(request.now.date(), dt.time())
    order = Order(bundle, made.published, stamped, request.reasons, request.processes)
    default = settings.data_dir / "scores" / config.name / f"as_of={stamped:%Y-%m-%d}.parquet"
    to = request.to or str(default)
    with working(settings, config.name, tell) as shop:
        scores = scores_step(order, shop)
        with delivered(to) as path:
            ranked(scores, shop.duckdb, path)
    return Scored(scores.version.rows, to, bundle.manifest.model_version, made.repairs)


def _features(
    request: Request, config: DataConfig, manifest: Manifest, settings: Settings, tell: Tell
) -> Made:
    if not request.published:
        needed = _needed(manifest, config)
        return make_features(needed, settings, as_of=request.as_of, tell=tell, aside=needed != request.config)
    if request.as_of is None or request.customers:
        raise ConfigError("--published", ["needs --as-of, and takes no --customers: it says which features"])
    return published_features(config, settings, as_of=request.as_of, now=request.now, tell=tell)


def _with_customers(request: Request) -> DataConfig:
    config, path = request.config, request.customers
    if path is None:
        return config
    if config.customers is None:
        raise ConfigError(config.name, ["has no customer table that another could stand in for"])
    return config.model_copy(update={"customers": config.customers.model_copy(update={"path": path})})


def _same_question(manifest: Manifest, config: DataConfig) -> None:
    if manifest.name != config.name:
        raise BundleError(
            f"{manifest.model_version} was trained for {manifest.name}, and the config is {config.name}'s: "
            f"score with a bundle of {config.name}, or name the config of {manifest.name}"
        )
    churn = (config.churn.horizon_days, config.churn.active_days) if config.churn else (None, None)
    trained = (manifest.config_version, manifest.horizon_days, manifest.active_days)
    names = ("version", "churn.horizon_days", "churn.active_days")
    said = zip(names, trained, (config.version, *churn), strict=True)
    apart = [
        f"{name} was {was or 'not set'} and is {now or 'not set'}" for name, was, now in said if was != now
    ]
    if apart:
        raise BundleError(
            f"{manifest.model_version} was trained for another meaning of {config.name}: {', '.join(apart)}. "
            f"`churnops run` with this config makes a bundle for it"
        )


def _needed(manifest: Manifest, config: DataConfig) -> DataConfig:
    """`config` without the customers' columns the model does not take: tables of today may lack them."""
    if config.customers is None:
        return config
    sources = {one.described.column for one in taken(config, [column.name for column in manifest.inputs])}
    kept = {name: column for name, column in config.customers.columns.items() if name in sources}
    return config.model_copy(update={"customers": config.customers.model_copy(update={"columns": kept})})


def _same_features(manifest: Manifest, config: DataConfig) -> None:
    names = [column.name for column in manifest.inputs]
    features = taken(config, names)
    gone = sorted(set(names) - {feature.name for feature in features})
    if gone:
        raise BundleError(
            f"{manifest.model_version} takes {', '.join(gone)}, and {config.name} has no such feature: "
            f"run it again"
        )
    if feature_hash(features) != manifest.feature_hash:
        raise BundleError(
            f"{manifest.model_version} was trained on features computed otherwise than today: run it again"
        )

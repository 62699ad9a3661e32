"""`churnops lake check`: whether what the lake holds of a day was made from the newest that it holds."""

import datetime as dt
from dataclasses import dataclass

from churnops.errors import StaleData
from churnops.lake.lake import Lake
from churnops.lake.manifest import Source, Version

CLEAN = ("clean", "scoring/clean")
"""The steps that publish clean tables: of `run`, and of the daily verbs."""


@dataclass(frozen=True)
class Allowed:
    """How long features may stay behind newer clean tables: files arrive while a day is still being made."""

    now: dt.datetime
    lag_hours: int = 24


def check_scores(lake: Lake, name: str, as_of: dt.date, allowed: Allowed) -> Version:
    """The scores of `as_of`; raises StaleData where there are none, where their features were made anew
    since, or where those are behind the clean tables for longer than allowed."""
    scores = lake.version(f"{name}/scores/as_of={as_of}")
    if scores is None:
        fresh_features(lake, name, as_of, allowed)
        raise _stale(name, as_of, "there are features, and no scores", "score")
    for source in scores.sources:
        features = lake.version(source.dataset)
        if features is None or features.sha256 != source.sha256:
            raise _stale(name, as_of, f"{source.dataset} was made anew since it was scored", "score")
        _check_clean(lake, name, as_of, features, allowed)
    return scores


def fresh_features(lake: Lake, name: str, as_of: dt.date, allowed: Allowed) -> Version:
    """The features of `as_of`; raises StaleData where there are none, or they are behind as above."""
    features = lake.version(f"{name}/features/as_of={as_of}")
    if features is None:
        raise _stale(name, as_of, "there are no features", "features")
    _check_clean(lake, name, as_of, features, allowed)
    return features


def clean_history(lake: Lake, name: str) -> list[tuple[dt.datetime, str, int]]:
    """When, as which dataset and number the clean tables were published, by whichever step; in order."""
    return sorted(
        (at, dataset, number)
        for dataset in (f"{name}/{step}" for step in CLEAN)
        for number, at in lake.history(dataset).items()
    )


def _check_clean(lake: Lake, name: str, as_of: dt.date, features: Version, allowed: Allowed) -> None:
    for source in features.sources:
        later = _replaced(lake, name, source)
        if later and allowed.now - later > dt.timedelta(hours=allowed.lag_hours):
            problem = f"the features are from before the clean tables changed, {later:%Y-%m-%d %H:%M} UTC"
            raise _stale(name, as_of, problem, "features")


def _replaced(lake: Lake, name: str, source: Source) -> dt.datetime | None:
    """When clean tables of other content than `source` first appeared after it; None: they never did."""
    since = lake.history(source.dataset)[source.number]
    for at, dataset, number in clean_history(lake, name):
        version = lake.version(dataset, number) if at > since else None
        if version and version.sha256 != source.sha256:
            return at
    return None


def _stale(name: str, as_of: dt.date, problem: str, verb: str) -> StaleData:
    return StaleData(f"{name} as of {as_of}", [f"{problem}: churnops {verb} CONFIG --as-of {as_of}"])

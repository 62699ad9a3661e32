"""A server that follows the registry: another champion, or a trial, is taken up between two requests."""

import threading
import time

import structlog

from churnops.bundle.manifest import Manifest
from churnops.errors import BundleError, ChurnopsError, RegistryError
from churnops.serving.cache import Cache
from churnops.serving.canary import Canary, Place
from churnops.serving.model import Models, Served
from churnops.serving.registered import Registered, Registry, Standing
from churnops.serving.shadow import Records, Shadow
from churnops.serving.trial import TAG, Plan, RunningTrial, plan_of

POLL_SECONDS = 2.0
_RETRY_SECONDS = 30.0


class Follower:
    """Keeps `models` at what the registry says of the model `name`. Each process follows by itself."""

    def __init__(self, name: str, alias: str, registry: Registry, cache: Cache) -> None:
        """Take up the version that holds the alias, or the last good one where that cannot be had.

        No trial has begun: see `start`. Raises RegistryError, StorageError or BundleError where there is
        neither.
        """
        self._name, self._alias, self._registry, self._cache = name, alias, registry, cache
        self._log = structlog.get_logger()
        self._number = 0
        self._refused: dict[int, float] = {}
        self._trial: RunningTrial | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="follow", daemon=True)
        last = cache.last()
        if last is None:
            number = self._holder(registry.standing(name))
            registered = registry.version(name, number)
            last = cache.make(cache.bundle(registered, registry), frozenset())
            cache.keep(last)
        self.models = Models(last)
        self._follow_alias()

    def start(self) -> None:
        """Begin the trial that is ordered; look every few seconds, in a thread of its own, until `close`."""
        self.look()
        self._thread.start()

    def close(self) -> None:
        """End, and write down how a trial stands."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        if self._trial:
            self._trial.close()
        self._cache.close()

    def look(self) -> None:
        """Ask the registry once, and do what it says; whatever is wrong, the current model goes on."""
        standing = self._follow_alias()
        if standing is None:
            return
        try:
            self._follow_trial(standing)
        except OSError as error:
            self._tell("trial", f"cannot be followed: {error}")

    def _keep_looking(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self.look()

    def _follow_alias(self) -> Standing | None:
        """What the registry says, once the model that it names was taken up; None where it says nothing."""
        try:
            standing = self._registry.standing(self._name)
            number = self._holder(standing)
        except ChurnopsError as error:
            self.models.count("registry_failure")
            self._tell("registry", f"not followed, serving the last good model: {error}")
            return None
        self._tell("registry", "followed")
        if number == self._number:
            self._tell("refused", "")
        else:
            self._change_to(number)
        return standing

    def _holder(self, standing: Standing) -> int:
        try:
            return standing.aliases[self._alias]
        except KeyError:
            raise RegistryError(
                f"the registry holds no {self._alias} of {self._name}: nothing was run yet, or no bundle "
                f"passed the gates"
            ) from None

    def _change_to(self, number: int) -> None:
        served = self._loaded(number, "refused")
        if served is None:
            return
        before, self.models.current = self.models.current, served
        self._number = number
        self._refused.clear()
        self._tell("refused", "")
        if before is served:
            return
        self.models.count("swap")
        self._log.info("model changed", model_version=served.model_version, before=before.model_version)
        try:
            self._cache.keep(served)
        except OSError as error:
            self._log.error("the last good model cannot be kept", error=str(error))

    def _loaded(self, number: int, what: str) -> Served | None:
        """A version, checked and warm, beside the current one; None, and told as `what`, where it is refused.

        A refused version is tried again later, since a store may have been half written.
        """
        if self._refused.get(number, 0) > time.monotonic():
            return None
        current = self.models.current
        try:
            registered = self._registry.version(self._name, number)
            if registered.content_hash == current.manifest.content_hash:
                return current
            return self._compatible(registered, current)
        except (ChurnopsError, OSError) as error:
            self.models.count("refused_bundle")
            self._refused[number] = time.monotonic() + _RETRY_SECONDS
            self._tell(what, f"version {number}: {error}")
            return None

    def _compatible(self, registered: Registered, current: Served) -> Served:
        bundle = self._cache.bundle(registered, self._registry)
        faults = incompatible(bundle.manifest, current.manifest)
        if faults:
            raise BundleError(
                f"{registered.model_version} does not take what callers of {self._name} send: "
                f"{'; '.join(faults)}. Train it with those columns; or see that callers send what it takes, "
                f"and start again without the folder {self._cache.folder}"
            )
        return self._cache.make(bundle, current.names)

    def _follow_trial(self, standing: Standing) -> None:
        """Begin, go on with or end the trial that the registry orders."""
        text = standing.tags.get(TAG, "")
        plan = plan_of(text)
        if plan is None:
            self._end_trial("" if not text else "its plan was made by another version of churnops")
            return
        place = Place(self._cache.folder / "canary", plan.id, self._cache.slot)
        why = plan.stopped or place.stopped()
        if why:
            self._end_trial(f"version {plan.version} was stopped: {why}")
            if not plan.stopped:
                self._tell_registry(plan.model_copy(update={"stopped": why}))
        elif plan.version == self._number:
            self._end_trial("")
        elif self._trial is None or self._trial.plan != plan:
            self._end_trial("")
            self._begin_trial(plan, place)

    def _begin_trial(self, plan: Plan, place: Place) -> None:
        challenger = self._loaded(plan.version, "trial")
        if challenger is None:
            return
        records = Records(self._cache.folder / "shadow" / f"{plan.id}-{self._cache.slot}.jsonl")
        self._trial = (
            Shadow(plan, challenger, self.models, records)
            if plan.shadow
            else Canary(plan, challenger, self.models, place)
        )
        self._trial.start()
        self.models.trial = self._trial
        kind = "shadow" if plan.shadow else "canary"
        self._tell("trial", f"{challenger.model_version} as {kind}, share {plan.share:g}")

    def _end_trial(self, how: str) -> None:
        self.models.trial = None
        if self._trial:
            self._trial.close()
            self._trial = None
        self._tell("trial", how)

    def _tell_registry(self, plan: Plan) -> None:
        """Other machines are to see that the canary was stopped here; tried again at the next look."""
        try:
            self._registry.tag(self._name, TAG, plan.model_dump_json())
        except ChurnopsError as error:
            self._log.warning("the registry does not know yet that the canary stopped", error=str(error))

    def _tell(self, what: str, how: str) -> None:
        """Say it in `/readyz`, and log it where it is new."""
        if self.models.state.get(what, "") == how:
            return
        if how:
            self.models.state[what] = how
        else:
            self.models.state.pop(what, None)
        log = self._log.info if how in ("", "followed") else self._log.warning
        log("following", name=self._name, **{what: how or "none"})


def incompatible(new: Manifest, old: Manifest) -> list[str]:
    """Why requests that the old model takes might be refused by the new one, in words; empty: none would.

    Columns that only the old one takes are no reason: the new one ignores them where it takes its place.
    """
    before = {column.name: column for column in old.inputs}
    faults = []
    for column in new.inputs:
        known = before.get(column.name)
        if column.name in old.ignored_columns:
            faults.append(f"'{column.name}' was ignored and may be anything")
        elif known is None and not column.nullable:
            faults.append(f"'{column.name}' is new and may not be missing")
        elif known and known.kind != column.kind:
            faults.append(f"'{column.name}' was {known.kind} and is {column.kind}")
        elif known and known.nullable and not column.nullable:
            faults.append(f"'{column.name}' may be missing no longer")
    return faults
